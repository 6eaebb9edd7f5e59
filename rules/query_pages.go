package rules

import (
	"bytes"
	"encoding/json"
	"iter"

	"cbuild/engine"
	"cbuild/rules/registry"
)

// pageText and itemText are the canonical form of a registry's answer: members in the order of their names, no space.
type (
	pageText struct {
		Items   []itemText `json:"items"`
		Request string     `json:"request"`
	}
	itemText struct {
		Key   string       `json:"key"`
		Value engine.Value `json:"value"`
	}
)

// A pagesText is an answer in its canonical form, a list of pages, while it grows. An index may have as many items as a distribution has
// packages: as text they take a tenth of the memory that the items themselves would.
type pagesText struct{ b bytes.Buffer }

func (t *pagesText) add(p registry.Page) error {
	page := pageText{Request: p.Request, Items: make([]itemText, len(p.Items))}
	for i, item := range p.Items {
		page.Items[i] = itemText{item.Key, item.Value}
	}
	text, err := encodeJSON(page)
	if err != nil {
		return err
	}
	sep := byte(',')
	if t.b.Len() == 0 {
		sep = '['
	}
	t.b.WriteByte(sep)
	t.b.Write(text)
	return nil
}

func (t *pagesText) text() []byte {
	if t.b.Len() == 0 {
		return []byte("[]")
	}
	t.b.WriteByte(']')
	return t.b.Bytes()
}

// decodePages yields the pages of an answer, one after the other.
func decodePages(text []byte) iter.Seq2[registry.Page, error] {
	return func(yield func(registry.Page, error) bool) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if _, err := d.Token(); err != nil {
			yield(registry.Page{}, err)
			return
		}
		for d.More() {
			page, err := decodePage(d)
			if !yield(page, err) || err != nil {
				return
			}
		}
		if _, err := d.Token(); err != nil {
			yield(registry.Page{}, err)
		}
	}
}

func decodePage(d *json.Decoder) (registry.Page, error) {
	var t pageText
	if err := d.Decode(&t); err != nil {
		return registry.Page{}, err
	}
	page := registry.Page{Request: t.Request, Items: make([]engine.Item, len(t.Items))}
	for i, item := range t.Items {
		value, err := plain(item.Value)
		if err != nil {
			return registry.Page{}, err
		}
		page.Items[i] = engine.Item{Key: item.Key, Value: value}
	}
	return page, nil
}
