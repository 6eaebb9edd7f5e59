variable "edition" {
  default = "2024"
}

query "modules" {
  registry = "go"
  args     = { modules = ["a"] }
}

fetch "source" {
  for_each = query.modules
  url      = each.value.urll
}

run "check" {
  for_each = fetch.source
  inputs   = { src = each.value.outt }
  script   = "cd ${HOME} && test -d src"
  out      = "log"
}

run "use" {
  command = ["cat", run.chek["a"].out, run.source["a"].out]
  comand  = ["true"]
  stdout  = var.editoin
}

run "all" {
  command = ["cat", run.check.out]
  timeout = "soon"
  out     = basenam("x/y")
}

runn "z" {
}

fetch "check" {
  url = local.nothing
}
