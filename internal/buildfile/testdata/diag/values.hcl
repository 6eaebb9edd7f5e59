cbuild {
  requires = "often"
  jobs     = 3
}

variable "level" {
  type    = number
  default = "high"
}

variable "needed" {
}

variable "mode" {
  default = "slow"
  allowed = ["fast", "safe"]
}

variable "port" {
  default = 80
  check   = var.port > 1024
  message = "Ports below 1024 belong to root."
}

run "null" {
  for_each = null
  command  = ["true"]
}

run "twice" {
  for_each = ["a", "b", "a"]
  command  = ["true"]
}

run "float" {
  for_each = [1.20]
  command  = ["true"]
}

run "types" {
  command       = "true"
  env           = { A = 1.5 }
  allow_failure = "no"
  cpu           = -1
  memory        = "lots"
  out           = "../x"
  inputs        = { "a/../b" = "x" }
}

run "axes" {
  matrix  = { os = ["a", "b"], os = ["c"] }
  where   = each.key == "a"
  command = [matrix.oss, axis.os, each.value]
}

run "later" {
  command = ["true"]
  pool    = "x"
}

secret "token" {
  env = "TOKEN"
}

collate "report" {
  rows     = run.axes
  columns  = ["a"]
  template = "gone.md.tmpl"
}

group "all" {
  for_each = ["a"]
  targets  = [run.axes]
}

fetch "none" {
  sha256 = "x"
}

run "Nested" {
  env {
    A = "b"
  }
}

run "x y" {
}

run {
}

top = 1

run "sides" {
  for_each = ["a"]
  matrix   = { v = ["before", "after"], os = ["linux"] }
  command  = ["true"]
}

run "plain" {
  for_each = ["a"]
  command  = ["true"]
}

collate "compared" {
  rows    = run.sides
  compare = ["befor", "after"]
}

collate "uncompared" {
  rows    = run.plain
  compare = ["before", "after"]
}
