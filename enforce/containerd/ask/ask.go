// Package ask is what a node's daemon is asked about an image that containerd is about to pull: the question, the answer, and how one is had
// for the other over a unix socket. It needs the standard library alone, so that the program that containerd starts at each pull stays small.
package ask

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path is where the daemon is asked, with POST.
const Path = "/v1/containerd"

// MediaType is what a question and its answer are.
const MediaType = "application/json"

// Form is the form of the questions and answers that this package writes. Another one is an error: it is not guessed at.
const Form = 1

// Limits.
const (
	MaxName     = 1024      // bytes of an image's name, with its digest
	MaxType     = 255       // bytes of a media type
	MaxSize     = 4 << 20   // bytes of what the digest names: registries and containerd take no longer manifests
	MaxQuestion = 8 << 10   // bytes of a question
	MaxAnswer   = 16 << 10  // bytes of an answer
	maxLine     = 1000      // bytes of a reason: the event of a pod has room for 1024
	maxHeaders  = 16 << 10  // bytes of the headers of an answer
	prefix      = "assay: " // of every reason
)

// What an answer means. There is one that allows.
const (
	Allowed      = "allowed"
	Denied       = "denied"         // asking again gives the same answer
	CouldNotTell = "could not tell" // worth asking again
	Bug          = "bug"            // Assay itself broke down
)

// Question is what containerd says of an image before it fetches any of it. The zero value is none.
type Question struct {
	Name      string // as whoever pulls wrote it; it may have a tag, a digest, or both
	Digest    string // of the manifest or index that the name was resolved to, as "sha256:…"
	MediaType string // of that
	Size      int64  // of that, in bytes
}

// Check says what is wrong with a question: each of it is something that no honest client asks.
func (q *Question) Check() error {
	switch {
	case q.Name == "":
		return errors.New("the image has no name")
	case strings.HasPrefix(q.Name, "-"):
		return errors.New("the image's name begins with a dash, as an option does")
	case strings.ContainsFunc(q.Name, invisible):
		return errors.New("the image's name has characters that no name of an image has")
	case !isDigest(q.Digest):
		return errors.New("the digest is none of sha256 or sha512 in small letters")
	case len(q.Image()) > MaxName:
		return fmt.Errorf("the image's name has more than %d bytes with its digest", MaxName)
	case len(q.MediaType) > MaxType || q.MediaType == "" || strings.ContainsFunc(q.MediaType, invisible):
		return errors.New("the media type is none")
	case q.Size <= 0 || q.Size > MaxSize:
		return fmt.Errorf("a manifest of %d bytes; 1 to %d are taken", q.Size, MaxSize)
	}
	if _, named, ok := strings.Cut(q.Name, "@"); ok && named != q.Digest {
		return errors.New("the image's name has another digest than the one that is to be pulled")
	}
	return nil
}

// Image is the image to decide about: the name as it is, and the digest.
func (q *Question) Image() string {
	if strings.Contains(q.Name, "@") {
		return q.Name
	}
	return q.Name + "@" + q.Digest
}

// invisible reports whether a character stands in no name of an image and in no media type.
func invisible(r rune) bool { return r <= ' ' || r > '~' }

// isDigest reports whether s is a digest, as the whole of Assay takes one.
func isDigest(s string) bool {
	algorithm, value, _ := strings.Cut(s, ":")
	switch {
	case algorithm == "sha256" && len(value) == 64, algorithm == "sha512" && len(value) == 128:
		return !strings.ContainsFunc(value, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
	}
	return false
}

// Answer is what becomes of a question. The zero value denies.
type Answer struct {
	Form    int    // Form
	Allowed bool   // true where Meaning is Allowed, and only there
	Meaning string // one of the words above
	Reason  string // for people: one line that begins with "assay: "
}

// No is an answer that allows nothing.
func No(meaning, reason string) Answer {
	if meaning == Allowed {
		meaning = Bug
	}
	return Answer{Form: Form, Meaning: meaning, Reason: Line(reason)}
}

// check refuses what is no answer of this form: the verdict and its word must agree.
func (a *Answer) check() error {
	switch {
	case a.Form != Form:
		return fmt.Errorf("the form %d is not known; %d is", a.Form, Form)
	case a.Allowed != (a.Meaning == Allowed):
		return fmt.Errorf("allowed is %v and the meaning %.32q", a.Allowed, a.Meaning)
	}
	switch a.Meaning {
	case Allowed, Denied, CouldNotTell, Bug:
		return nil
	}
	return fmt.Errorf("the meaning %.32q is not known", a.Meaning)
}

// Line makes a text into a reason: one line without controls and without anything that turns the direction of writing, cut to a length that
// the event of a pod has room for, and beginning with "assay: ", so that it can be told whose refusal it is.
func Line(text string) string {
	text = strings.TrimSpace(strings.Map(plain, strings.ToValidUTF8(clip(text, 4*maxLine), "\uFFFD")))
	if text == "" {
		text = "no reason was given"
	}
	if !strings.HasPrefix(text, prefix) {
		text = prefix + text
	}
	if len(text) <= maxLine {
		return text
	}
	return clip(text, maxLine-len("…")) + "…"
}

// clip cuts a text to at most limit bytes, between characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func plain(r rune) rune {
	switch {
	case r == '\n' || r == '\t' || r == '\r':
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return '\uFFFD'
}
