package download

import (
	"strconv"
	"strings"
)

// A contentRange is what an answer says about the part of a file that it brings: bytes first to last of total. A total that is not
// known is -1; first and last are -1 in the answer to a range that the file does not have.
type contentRange struct{ first, last, total int64 }

// parseContentRange reads the value of a Content-Range header (RFC 9110 §14.4).
func parseContentRange(value string) (r contentRange, ok bool) {
	unit, rest, found := strings.Cut(strings.TrimSpace(value), " ")
	span, total, found2 := strings.Cut(strings.TrimSpace(rest), "/")
	if !found || !found2 || !strings.EqualFold(unit, "bytes") {
		return r, false
	}
	r = contentRange{-1, -1, -1}
	if total != "*" {
		if r.total, ok = length(total); !ok {
			return r, false
		}
	}
	if span == "*" {
		return r, r.total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	var ok1, ok2 bool
	r.first, ok1 = length(first)
	r.last, ok2 = length(last)
	return r, ok1 && ok2 && r.first <= r.last && (r.total < 0 || r.last < r.total)
}

// length reads a number of bytes.
func length(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// strong returns an entity tag if it promises equal bytes, else "".
func strong(etag string) string {
	if len(etag) < 2 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return ""
	}
	return etag
}
