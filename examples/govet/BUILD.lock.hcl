# Written by cbuild: what the outside world answered. Commit it; `cbuild update` asks again.

pins "//:go" {
  answers = {
    "go:golang.org/toolchain@v0.0.1-go1.23.12.linux-amd64.zip" = "h1:CQZ55qhuGAYcgv4npnr3DsfZP3i8URMjkpv7TYHRIH4="
    "go:golang.org/toolchain@v0.0.1-go1.27.4.linux-amd64.zip"  = "h1:8Tl0rBb7KdISSdPkZBjlpZxsUBb+004GI/SM2XbmSqI="
  }
}

pins "//:modules" {
  file   = "modules.ndjson"
  digest = "b3:f42c57727b18716ff422a427a4ff7bfa1085d28e1d492f9ba9a83e0db0c932ff"
  count  = 63
}
