package report

import (
	"bytes"
	"encoding/base64"
	"errors"
)

// ErrNoPage is the error for what is no page of a report.
var ErrNoPage = errors.New("this is not the page of a report")

// ReadPage takes the data out of a page that HTML wrote.
func ReadPage(page []byte) (*Snapshot, error) {
	s := &Snapshot{}
	for {
		attribute, data, rest, ok := embedded(page)
		if !ok {
			return nil, ErrNoPage
		}
		part, err := base64.StdEncoding.AppendDecode(nil, data)
		if err != nil {
			return nil, errors.Join(ErrNoPage, err)
		}
		if page = rest; string(attribute) == packAttribute {
			s.Pack = part
			return s, nil
		}
		s.Chunks = append(s.Chunks, part)
	}
}

// embedded finds the first element that embed wrote.
func embedded(page []byte) (attribute, data, rest []byte, ok bool) {
	_, page, ok = bytes.Cut(page, []byte(dataStart))
	if ok {
		attribute, page, ok = bytes.Cut(page, []byte(">"))
	}
	if ok {
		data, rest, ok = bytes.Cut(page, []byte(dataEnd))
	}
	return attribute, data, rest, ok
}
