# Written by cbuild: what the outside world answered. Commit it; `cbuild update` asks again.

pins "//:go" {
  answers = {
    "go:golang.org/toolchain@v0.0.1-go1.18.10.linux-amd64.zip" = "h1:DoRXEPy0iapMWDLF5FpN4nhL3wfwgijsGwcq45OMI08="
    "go:golang.org/toolchain@v0.0.1-go1.27.4.linux-amd64.zip"  = "h1:8Tl0rBb7KdISSdPkZBjlpZxsUBb+004GI/SM2XbmSqI="
  }
}

pins "//:modules" {
  file   = "modules.ndjson"
  digest = "b3:bb3d27f4314fafc1643352470986b11d607e4faa6f17349e544c354726dffc78"
  count  = 227
}
