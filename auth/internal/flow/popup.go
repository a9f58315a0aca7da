package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// The page of the popup (contract/auth.md section 2.3) is a script around the message and
// the origin, which are percent-encoded in single quotes: no byte of them can end the text
// or the script, or begin a tag.
const (
	scriptHead   = `(function(){var result=JSON.parse(decodeURIComponent('`
	scriptMiddle = `')),origin=decodeURIComponent('`
	scriptTail   = `'),opener=window.opener||window.parent;` +
		`opener.postMessage({type:'config_info',targetOrigin:origin},'*');` +
		`opener.postMessage(result,origin);` +
		`setTimeout(function(){window.close();},100);})();`
)

// Popup answers a callback with the page that hands the result, a session or an error, to
// the page that has opened the popup, if that is of the given origin, and closes itself.
// The status is 200 for errors, too: the frontend reads the message and nothing else.
func Popup(w http.ResponseWriter, origin string, result Message) error {
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(result); err != nil {
		return err
	}
	script := scriptHead + escape(strings.TrimSpace(doc.String())) + scriptMiddle + escape(origin) + scriptTail
	sum := sha256.Sum256([]byte(script))
	h := w.Header()
	h.Set("Content-Type", "text/html")
	h.Set("Content-Security-Policy", "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; default-src 'none'")
	h.Set("X-Frame-Options", "sameorigin")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	// A stricter policy, which the backend may have by default, severs window.opener.
	h.Set("Cross-Origin-Opener-Policy", "unsafe-none")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write([]byte("<!DOCTYPE html><html><head><title>Sign-in</title></head><body><script>" + script + "</script></body></html>"))
	return err
}

// A Message is what the page posts: {"type": "authorization_response", ...}.
type Message struct {
	Type     string          `json:"type"`
	Response any             `json:"response,omitempty"`
	Error    json.RawMessage `json:"error,omitempty"`
}

// Response is the Message with a session.
func Response(session any) Message {
	return Message{Type: "authorization_response", Response: session}
}

// Failure is the Message with an error object, as apierr.Render makes it.
func Failure(object json.RawMessage) Message {
	return Message{Type: "authorization_response", Error: object}
}
