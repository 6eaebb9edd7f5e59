run "set" {
  matrix  = { go = ["1.20", "1.21"] }
  command = ["true"]
  out     = "x"
}

run "list" {
  for_each = ["a"]
  command  = ["true"]
  out      = "x"
}

run "uses" {
  command = ["cat", run.set.out, run.list.a.out, run.list["a"].outt, run.set["1.20"].nothing, run.list]
  env = {
    A = join(" ", [for k, r in run.list : r.outcom])
    B = join(" ", run.list[*].outt)
    C = env("HOME")
    D = timestamp()
    E = host.kernel
    F = each.key
    G = path.pakage
    H = page.json
    I = self.nme
    J = unquoted
  }
}

run "nested" {
  for_each = run.list
  command  = [each.value.value.x, each.valu, each.value.exit_cod]
}

variable "v" {
  default = run.list
}

collate "report" {
  rows    = { for k, r in run.list : k => r if r.okay }
  columns = { a = each.value.outcom, b = each.value.exit_code }
}

locals {
  mine = each.key
}

run "keys" {
  command = [run.list["b"].out, run.set["1.22"].out, local.mine]
}

collate "wide" {
  rows    = run.set
  columns = { a = each.value.outcome, b = each.value["1.20"].outcome, c = each.value["1.2"].outcome }
}
