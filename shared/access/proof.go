package access

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// While a daemon is down, any local process can listen at the port of its API. So our clients do
// not send the token before the other end has proven that it has the token too. The proof is an
// HMAC of a nonce of the client, and whoever has it can try guesses of the token. A key that is
// slow to make keeps that as slow as asking us. Of a short token there is no proof. With the nonce
// the client shows a proof of its own, so that a wrong token is refused, counted and logged.
const (
	proofPath = "/v1/proof"
	proofSalt = "dhcp4o6 API"
	slowness  = 1 << 15
	proofTime = 10 * time.Second // for the whole proof
	maxProof  = 1 << 10          // octets
)

// Who proves that it has the token.
const (
	byDaemon = "proof"
	byClient = "asked by"
)

var errRefused = errors.New("the API refused our token")

var errUnproven = errors.New("what listens there does not prove that it has our token, which is not sent to it")

// proofKey makes the key of proofs, nil of a token that is too short for any.
func proofKey(token string) []byte {
	if len(token) < leastToken {
		return nil
	}
	key, err := pbkdf2.Key(sha256.New, token, []byte(proofSalt), slowness, sha256.Size)
	if err != nil {
		panic("access: " + err.Error()) // our parameters are constants
	}
	return key
}

// proof is what whoever has the key says of a nonce.
func proof(key []byte, by, nonce string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(by + " " + nonce))
	return hex.EncodeToString(m.Sum(nil))
}

// prove answers a request for a proof.
func (g *Guard) prove(w http.ResponseWriter, r *http.Request) {
	query, key := r.URL.Query(), g.key()
	nonce := query.Get("nonce")
	if key == nil || len(nonce) < leastToken {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !hmac.Equal([]byte(query.Get("client")), []byte(proof(key, byClient, nonce))) {
		g.refused.note(r)
		w.WriteHeader(http.StatusForbidden) // a daemon that knows no proofs answers with 401
		return
	}
	_, _ = io.WriteString(w, proof(key, byDaemon, nonce)) // whoever asked and went away does not matter
}

// dial connects to a daemon, and has it prove that it has the token. So each connection that a
// token is sent on is a proven one. TLS has its own proof.
func (x *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(x.base)
	if err == nil && base.Scheme == "http" {
		err = x.ask(ctx, conn)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// ask asks for a proof, if our token can be proven.
func (x *Client) ask(ctx context.Context, conn net.Conn) error {
	key := x.key()
	if key == nil {
		return nil
	}
	nonce := rand.Text()
	url := x.base + proofPath + "?nonce=" + nonce + "&client=" + proof(key, byClient, nonce)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(proofTime)); err != nil {
		return err
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(conn, 4*maxProof))
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnproven, err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written to it
	shown, err := io.ReadAll(io.LimitReader(answer.Body, maxProof))
	if answer.StatusCode == http.StatusForbidden {
		return errRefused
	}
	good := answer.StatusCode == http.StatusOK && hmac.Equal(shown, []byte(proof(key, byDaemon, nonce)))
	if err != nil || !good || answer.Close || in.Buffered() > 0 {
		return errUnproven
	}
	return conn.SetDeadline(time.Time{})
}
