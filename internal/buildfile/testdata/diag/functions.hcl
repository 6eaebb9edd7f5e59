function "object_name" {
  params = [path]
  result = replace(path, "/\\.c$/", ".o")
}

function "again" {
  params = [n]
  result = again(n)
}

function "ping" {
  params = [n]
  result = pong(n)
}

function "pong" {
  params = [n]
  result = [ping(n)]
}

function "upper" {
  params = [s]
  result = s
}

function "try" {
  result = 1
}

function "object_name" {
  result = 1
}

function "outside" {
  params = [a, a, "b c"]
  result = "${each.key} ${run.x.out} ${self.name} ${path.work} ${local.x} ${secret.s} ${b} ${path.package}"
}

function "nothing" {
  params = "a"
  reslut = 1
}

function "rest" {
  params   = ["first"]
  variadic = "rest"
  result   = concat([first], rest)
}

function "none" {
  params   = []
  variadic = "a-b-"
  result   = a
}

function {
  result = 1
}

secret "s" { env = "X" }

locals {
  x = run.x.outcome
}

run "x" {
  command = [object_nmae("x"), object_name(), object_name("a", "b"), rest()]
}

run "y" {
  command = [object_name(each.key), object_name(run.z.out), rest([]...), object_name(["a", "b"]...), object_name(path)]
}

function "wants" {
  params = [o]
  result = o.member
}

run "z" {
  command = [wants({ a = 1 })]
}

run "w" {
  for_each = ["a"]
  command  = [wants(run.x), wants(run.w)]
}
