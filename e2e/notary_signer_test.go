//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
)

// maxSigned is the most that is read of an answer of the signer.
const maxSigned = 1 << 16

// notaryEnvelope is a file of TUF metadata as Notary writes it.
type notaryEnvelope struct {
	Signed     json.RawMessage   `json:"signed"`
	Signatures []notarySignature `json:"signatures"`
}

type notarySignature struct {
	KeyID  string `json:"keyid"`
	Method string `json:"method"`
	Sig    string `json:"sig"`
}

var expires = regexp.MustCompile(`"expires":"[^"]*"`)

// expired returns the same metadata with another end, signed anew by the signer's key: what the server would have written then. It
// stands for a clock that goes on: neither Assay's nor notary-server's can be moved, and the server never serves a timestamp that has
// expired by its own clock.
func (n *notary) expired(metadata []byte, end time.Time) ([]byte, error) {
	var e notaryEnvelope
	if err := json.Unmarshal(metadata, &e); err != nil {
		return nil, err
	}
	// The server writes canonical JSON, and the new date is of the same shape.
	e.Signed = expires.ReplaceAll(e.Signed, []byte(`"expires":"`+end.UTC().Format(time.RFC3339)+`"`))
	for i, s := range e.Signatures {
		signature, err := n.sign(s.KeyID, e.Signed)
		if err != nil {
			return nil, err
		}
		e.Signatures[i].Sig = base64.StdEncoding.EncodeToString(signature)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	return bytes.TrimSpace(text.Bytes()), err
}

// sign asks notary-signer for a signature by one of its keys, as notary-server does: proto.Signer/Sign over gRPC, whose messages are
// a SignatureRequest{1: KeyID{1: id}, 2: content} and a Signature{3: content}.
func (n *notary) sign(keyID string, content []byte) ([]byte, error) {
	message := append(field(1, field(1, []byte(keyID))), field(2, content)...)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) // not compressed
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://localhost:%d/proto.Signer/Sign", n.signerPort),
		bytes.NewReader(append(frame, message...)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	own := tls.Certificate{Certificate: [][]byte{n.tls.cert.Raw}, PrivateKey: n.tls.key}
	client := http.Client{Timeout: readyWithin, Transport: &http.Transport{
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxSigned))
	if err != nil {
		return nil, err
	}
	if status := resp.Trailer.Get("Grpc-Status"); status != "0" || len(answer) < 5 {
		return nil, fmt.Errorf("signer: %s, gRPC status %s %s", resp.Status, status, resp.Trailer.Get("Grpc-Message"))
	}
	return fieldOf(answer[5:], 3)
}

// field encodes one field of a protocol buffer that has a length.
func field(number int, content []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(content))), content...)
}

// fieldOf returns a field of a protocol buffer all of whose fields have a length.
func fieldOf(message []byte, number uint64) ([]byte, error) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		size, m := binary.Uvarint(message[max(n, 0):])
		if n <= 0 || m <= 0 || tag&7 != 2 || size > uint64(len(message)-n-m) {
			break
		}
		content := message[n+m:][:size]
		if tag>>3 == number {
			return content, nil
		}
		message = message[n+m:][size:]
	}
	return nil, fmt.Errorf("signer: no field %d in its answer", number)
}
