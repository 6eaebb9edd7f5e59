package engine

// rowCodec writes rows to a spool and reads them back.
type rowCodec struct{ nodes map[Label]*node }

func (c rowCodec) append(buf []byte, r *Row) []byte { panic("not yet") }

func (c rowCodec) decode(data []byte) (r *Row, rest []byte, err error) { panic("not yet") }
