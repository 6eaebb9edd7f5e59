package engine

import (
	"encoding/binary"
	"fmt"
)

// rowCodec writes rows to a spool and reads them back. An element that is a row of another target is written inside.
type rowCodec struct{ nodes map[Label]*node }

func (c rowCodec) append(buf []byte, r *Row) ([]byte, error) {
	buf = appendString(buf, r.Target.Label.Dir)
	buf = appendString(buf, r.Target.Label.Name)
	buf = appendString(buf, r.Key)
	buf = binary.AppendUvarint(buf, uint64(r.Index))
	buf = binary.AppendUvarint(buf, uint64(r.Peeled))
	buf = binary.AppendUvarint(buf, uint64(r.ahead))
	buf, err := AppendValue(buf, r.Value, c.append)
	if err != nil {
		return nil, err
	}
	if r.Err == nil {
		buf = append(buf, 0)
	} else {
		buf = appendError(append(buf, 1), r.Err)
	}
	buf = binary.AppendUvarint(buf, uint64(len(r.Cells)))
	for _, o := range r.Cells {
		if buf, err = c.appendOutcome(buf, o); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func (c rowCodec) appendOutcome(buf []byte, o *Outcome) ([]byte, error) {
	buf = binary.AppendUvarint(buf, uint64(len(o.Axes)))
	for _, a := range o.Axes {
		buf = appendString(buf, a)
	}
	buf = append(buf, o.Key[:]...)
	buf = append(buf, byte(o.Cached))
	buf, err := AppendValue(buf, o.Shape, c.append)
	if err != nil {
		return nil, err
	}
	if o.Result == nil {
		return appendError(append(buf, 0), o.Err), nil
	}
	return AppendResult(append(buf, 1), o.Result), nil
}

// appendError writes what is to be known of err when the row is read back.
func appendError(buf []byte, err error) []byte {
	buf = appendString(append(buf, boolByte(Troubled(err))), string(ClassOf(err)))
	return appendString(buf, PublicText(err))
}

func readError(d *decoder) error {
	return &recordedError{trouble: d.flags(1) == 1, class: Class(d.string()), text: d.string()}
}

// decodeAll reads n rows, all of data.
func (c rowCodec) decodeAll(data []byte, n int) ([]*Row, error) {
	d := &decoder{data: data}
	rows := make([]*Row, n)
	for i := range rows {
		rows[i] = c.row(d)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("row: %w", err)
	}
	return rows, nil
}

func (c rowCodec) decode(data []byte) (*Row, error) {
	d := &decoder{data: data}
	r := c.row(d)
	return r, d.end()
}

func (c rowCodec) row(d *decoder) *Row {
	r := &Row{}
	l := Label{Dir: d.string(), Name: d.string()}
	if n := c.nodes[l]; n != nil {
		r.Target = n.target
	} else {
		d.failf("there is no target %v", l)
	}
	r.Key = d.string()
	r.Index, r.Peeled, r.ahead = int(d.uvarint()), int(d.uvarint()), int64(d.uvarint())
	r.Value = d.value(c.decode, maxDepth)
	if d.flags(1) == 1 {
		r.Err = readError(d)
	}
	if n := d.count(); n > 0 {
		r.Cells = make([]*Outcome, n)
		for i := range r.Cells {
			r.Cells[i] = c.outcome(d)
		}
	}
	return r
}

func (c rowCodec) outcome(d *decoder) *Outcome {
	o := &Outcome{}
	if n := d.count(); n > 0 {
		o.Axes = make([]string, n)
		for i := range o.Axes {
			o.Axes[i] = d.string()
		}
	}
	copy(o.Key[:], d.take(len(o.Key), zeros[:]))
	o.Cached = Cached(d.byte())
	o.Shape = d.value(c.decode, maxDepth)
	if d.byte() == 1 {
		o.Result = d.result()
	} else {
		o.Err = readError(d)
	}
	return o
}
