cbuild {
  ignore = ["**/testdata"]
}

# Which Go modules does a newer gofmt format differently?
variable "before" { default = "1.18.10" }

variable "after" { default = "1.27.4" }

query "modules" {
  registry = "go"
  args     = { modules = lines(file("modules.txt")), versions = "latest" }
  where    = !startswith(each.key, "golang.org/x/exp")
}

fetch "source" {
  for_each = query.modules

  url       = each.value.url
  integrity = each.value.h1
  unpack    = true
  strip     = each.key
}

toolchain "go" {
  for_each = { before = var.before, after = var.after }

  kind    = "go"
  version = each.value
}

run "gofmt" {
  for_each = fetch.source
  matrix   = { go = toolchain.go }

  toolchains = [matrix.go]
  inputs     = { src = each.value.out }
  dir        = "src"
  script     = "gofmt -l . > $out; test ! -s $out"
  out        = "unformatted.txt"

  timeout       = "1m"
  allow_failure = true
}

collate "report" {
  title    = "gofmt ${var.before} against ${var.after}"
  rows     = run.gofmt
  compare  = ["before", "after"]
  evidence = "out"
}
