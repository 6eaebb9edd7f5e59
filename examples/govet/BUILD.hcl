# What does the vet of a newer Go say that an older one's did not? Every module is vetted by both, with its
# tests and with the dependencies that it asks for, and the report shows where they differ.
#
#   cbuild                                 makes cbuild-out/report/index.html
#   cbuild                                 runs nothing
#   cbuild log 'vet[*errors*][after]'      what the newer one said of one module
#
# Only deps has the network. What it brought is an input of vet, which has none.
cbuild {}

variable "before" { default = "1.23.12" }

variable "after" { default = "1.27.4" }

variable "warm" {
  description = "Packages of the standard library, or patterns, that are compiled and vetted once beforehand."
  default     = "std"
}

# Where modules come from is for the go command of this machine to say. The answer is in no key, log, lock
# or report, so that another machine, whose proxy is another one, finds the same results.
secret "proxy" { command = ["go", "env", "GOPROXY"] }

query "modules" {
  registry = "go"
  args     = { modules = lines(file("modules.txt")), versions = "latest" }
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

# A build cache in which vet finds the standard library, instead of going through it for each module.
run "std" {
  matrix = { go = toolchain.go }

  toolchains = [matrix.go]
  env        = { GOCACHE = "${path.work}/cache", WARM = var.warm }
  script     = <<-EOT
    go mod init example.com/all
    { echo package all; go list -f 'import _ "{{.ImportPath}}"' $WARM | grep -v -e internal -e vendor; } > all.go
    go vet .
  EOT
  out        = "cache/"

  timeout = "30m"
}

# The module cache with what a module depends on, for both vets.
run "deps" {
  for_each = fetch.source

  toolchains = [toolchain.go["after"]]
  inputs     = { src = each.value.out }
  dir        = "src"
  network    = true
  env        = { GOMODCACHE = "${path.work}/mod", GOFLAGS = "-mod=mod -modcacherw", GOWORK = "off" }
  secret_env = { GOPROXY = secret.proxy }
  script     = "mkdir ../mod; test ! -f go.mod || go mod download"
  out        = "mod/"
}

run "vet" {
  for_each = fetch.source
  matrix   = { go = toolchain.go }

  toolchains = [matrix.go]
  inputs = {
    src   = each.value.out
    mod   = run.deps[each.key].out
    cache = run.std[axis.go].out
  }
  dir = "src"
  env = {
    GOMODCACHE = "${path.work}/mod"
    GOCACHE    = "${path.work}/cache"
    GOSUMDB    = "off"
    GOWORK     = "off"
    MODULE     = each.value.value.module
  }
  script = <<-EOT
    # Inputs are dated 1980; without this the go command would take the whole cache for stale.
    date +%s > ../cache/trim.txt
    # Modules from before there were modules are what the vet's own Go makes of them.
    test -f go.mod || go mod init "$MODULE"
    # One package at a time: what it says has the same order each time.
    go vet -p 1 ./...
  EOT

  allow_failure = true
}

collate "report" {
  title   = "go vet ${var.before} against ${var.after}"
  rows    = run.vet
  compare = ["before", "after"]
}
