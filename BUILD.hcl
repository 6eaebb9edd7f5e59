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
  tools      = ["diff", "grep"]
  inputs     = { src = each.value.out }
  dir        = "src"
  out        = "unformatted.txt"

  # The list is the evidence; what is printed is why the report groups the failures as it does.
  script = <<-SH
    gofmt -l . > $out
    test -s $out || exit 0
    if gofmt -d . | grep '^[-+]' | grep -Evq '^([-+]{3} .*|[-+][[:space:]]*(//.*)?)$'; then
      echo "code is formatted differently"
    else
      echo "only comments are formatted differently"
    fi
    exit 1
  SH

  timeout       = "1m"
  allow_failure = true
}

collate "report" {
  title    = "gofmt ${var.before} against ${var.after}"
  rows     = run.gofmt
  compare  = ["before", "after"]
  evidence = "out"
}
