run "a" { command = ["cat", run.b.out] }
run "b" { command = ["cat", run.c.out] }
run "c" { command = ["cat", run.a.out] }

run "self" {
  for_each = ["x", "y"]
  command  = ["cat", run.self["x"].out]
}

locals {
  one = local.two
  two = local.one
}
