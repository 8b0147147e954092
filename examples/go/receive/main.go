// Takes deliveries of webhooks and prints each once. Usage: receive [port]
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verify says whether one of the signatures is by our secret: "whsec_…" (HMAC), or the public key "whpk_…" (Ed25519).
func verify(secret string, header http.Header, body []byte) bool {
	kind, text, _ := strings.Cut(secret, "_")
	key, err := base64.StdEncoding.DecodeString(text)
	seconds, wrong := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	// What somebody recorded long ago is not taken again.
	if err != nil || wrong != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	signed := bytes.Join([][]byte{[]byte(header.Get("webhook-id")), []byte(header.Get("webhook-timestamp")), body}, []byte("."))
	for _, entry := range strings.Fields(header.Get("webhook-signature")) {
		version, encoded, _ := strings.Cut(entry, ",")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		if version == "v1a" && kind == "whpk" && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, signature) {
			return true
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		if version == "v1" && kind == "whsec" && hmac.Equal(mac.Sum(nil), signature) {
			return true
		}
	}
	return false
}

func main() {
	secret := os.Getenv("PUSHFLEET_WEBHOOK_SECRET")
	// A delivery whose answer was lost comes again with its id. Keep ids for days, where you keep what they brought.
	var taken sync.Map
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if handshake := r.Header.Get("X-Hook-Secret"); handshake != "" {
			w.Header().Set("X-Hook-Secret", handshake)
		} else if !verify(secret, r.Header, body) {
			http.Error(w, "no signature is by our secret", http.StatusUnauthorized)
			return
		} else if _, again := taken.LoadOrStore(r.Header.Get("webhook-id"), true); !again {
			fmt.Println(r.Header.Get("Pushfleet-Topic"), string(body))
		}
		// Only what was kept is confirmed: without an answer of 2xx it comes again.
		w.WriteHeader(http.StatusNoContent)
	})
	port := "9000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	fmt.Println("listening")
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
