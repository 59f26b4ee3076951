package ipc

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseKeys(t *testing.T) {
	keys, err := ParseKeys(" 7 : MDEyMw== ,\n4294967295:MDE\n")
	if err != nil || len(keys) != 2 || keys[0].ID != 7 || string(keys[0].Secret) != "0123" || keys[1].ID != 4294967295 || string(keys[1].Secret) != "01" {
		t.Errorf("IPC-27 ParseKeys = %v, %v", keys, err)
	}
	for _, text := range []string{"7:MDEyMw==\n8:MDE", "7:MDEyMw==\r\n\r\n8:MDE\r\n", "7:MDEyMw==,\n8:MDE\n", "\n 7:MDEyMw==,8:MDE"} {
		if keys, err := ParseKeys(text); err != nil || len(keys) != 2 || keys[0].ID != 7 || keys[1].ID != 8 {
			t.Errorf("IPC-27 %q: %v, %v", text, keys, err)
		}
	}
	if keys, err := ParseKeys(" \n"); keys != nil || err != nil {
		t.Errorf("IPC-27 no keys: %v, %v", keys, err)
	}
	const secret = "c2VjcmV0"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no colon", secret, []string{"key 1: no colon"}},
		{"no number", secret + ":1", []string{"key 1: id is not a number"}},
		{"number of 33 bits", "4294967296:" + secret, []string{"key 1: id is not a number"}},
		{"negative", "-1:" + secret, []string{"key 1: id is not a number"}},
		{"no base64", "1:" + secret + "!", []string{"key 1: id 1: secret is not base64"}},
		{"empty secret", "1:", []string{"key 1: id 1: secret is empty"}},
		{"empty entry", "1:" + secret + ",", []string{"key 2: no colon"}},
		{"a comma alone", ",", []string{"key 1: no colon", "key 2: no colon"}},
		{"twice", "1:" + secret + ",1:" + secret, []string{"key 2: id 1 is that of key 1"}},
		{"all mistakes at once", "x:" + secret + ",2:,3:" + secret + ",3:" + secret, []string{"key 1:", "key 2:", "key 4:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys(tt.text)
			if keys != nil || err == nil {
				t.Fatalf("ParseKeys = %v, %v", keys, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) || strings.Contains(err.Error(), secret) {
				t.Fatalf("error %q", err)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %q, want %q", lines[i], want)
				}
			}
		})
	}
}

// FuzzParseKeys: what is taken can be written again and is the same; no error
// quotes what it was given.
func FuzzParseKeys(f *testing.F) {
	f.Add("7:MDEyMw==,8:MDE")
	f.Add(" 1 : AAAA ,\n2:AAAA")
	f.Add("1:AAAA,1:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if err != nil {
			if keys != nil {
				t.Fatalf("ParseKeys(%q) = %v, %v", text, keys, err)
			}
			return
		}
		var entries []string
		for _, k := range keys {
			entries = append(entries, fmt.Sprintf("%d:%s", k.ID, base64.StdEncoding.EncodeToString(k.Secret)))
		}
		again, err := ParseKeys(strings.Join(entries, ","))
		if err != nil || !reflect.DeepEqual(again, keys) {
			t.Fatalf("ParseKeys(%q) = %v, again %v, %v", text, keys, again, err)
		}
	})
}
