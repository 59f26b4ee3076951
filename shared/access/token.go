package access

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// makeToken returns the token in the file at path. A missing file is made, readable for its owner
// only, with a token of 128 random bits.
func makeToken(path string) (string, error) {
	token, err := ReadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token = rand.Text()
	scratch, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return "", fmt.Errorf("making the token of the API: %w", err)
	}
	_, err = scratch.WriteString(token + "\n")
	err = errors.Join(err, scratch.Sync(), scratch.Close())
	if err == nil {
		err = os.Rename(scratch.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("making the token of the API: %w", errors.Join(err, os.Remove(scratch.Name())))
	}
	return token, nil
}

// ReadToken returns the token in the file at path, without the white space around it.
func ReadToken(path string) (string, error) {
	text, err := config.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the token of the API: %w", err)
	}
	token := strings.TrimSpace(string(text))
	var wrong string
	switch {
	case token == "":
		wrong = "is empty"
	case strings.Trim(token, "\x00") == "":
		wrong = "holds zero octets only, as a power cut may leave it"
	case strings.ContainsFunc(token, unsendable):
		wrong = "holds a character that no HTTP header can carry"
	case len(token) < leastToken:
		wrong = fmt.Sprintf("holds %d characters, which may be guessed", len(token))
	default:
		return token, nil
	}
	return "", fmt.Errorf("reading the token of the API: %s %s; remove it and restart the daemon, which makes another",
		path, wrong)
}

// leastToken is how many characters make a token hard to guess.
const leastToken = 16

// unsendable reports whether an HTTP header cannot carry a character of a token.
func unsendable(r rune) bool { return r <= ' ' || r > '~' }
