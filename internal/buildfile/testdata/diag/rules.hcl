rule "cc_binary" {
  description = "A program of C sources."

  param "srcs" {
    type        = files
    description = "The sources."
  }
  param "cflags" {
    type    = list(string)
    default = ["-O2"]
  }
  param "limits" {
    type    = object({ n = number, t = optional(string, "1m") })
    default = { n = 1 }
  }
  param "text" {
    default = "x"
  }

  run "object" {
    for_each = param.srcs
    command  = concat(["cc", "-c", each.value], param.cflags)
    out      = "${each.key}.o"
  }

  run "link" {
    command = concat(["cc", rule.name, param.limits.n], [for o in run.object : o.out])
    out     = rule.name
  }

  output "out" { value = run.link.out }
}

cc_binary "good" {
  srcs = ["BUILD.hcl"]
}

cc_binary "missing" {
  cflags = "x"
}

cc_binary "wrong" {
  srcs     = ["nope.c", 1, { a = true }]
  cflags   = { a = 1 }
  limits   = { t = 1 }
  text     = ["x"]
  for_each = ["a"]
  matrix   = { a = ["b"] }
  sources  = ["x"]
  where    = true
}

cc_binary "names" {
  srcs        = [run.nope.out, each.key, cc_binary.good.out, cc_binary.good.uot, cc_binary.nope.out]
  description = "fine"
  tags        = ["a"]
  private     = "no"
}

cc_libary "typo" {}

run "user" {
  command = [cc_binary.good.out, cc_binary.good.object, run.object.out, param.x, rule.name, run.good.out]
}

rule "cc_binary" {}

rule "run" {}

rule "param" {}

rule "odd" {
  colour = "x"

  param "for_each" {}
  param "a" { type = lst(string) }
  param "a" { tpye = string }
  param "b c" {}
  output "o" {}
  output "p" {
    value = 1
    vlaue = 2
  }
  output "p" { value = 2 }
  variable "x" {}
  rnu "x" {}
}

rule "body" {
  param "p" { type = any }

  run "one" {
    command = [param.q, run.two.out, run.user.outcome, local.x, local.y, rule.nmae, var.v, param]
    inputs  = ["nope.txt"]
  }
  run "one" {
    command = ["x"]
  }
  run "two" {
    for_each = param.p
    comand   = [each.value]
  }
  locals {
    x = run.one.outcome
  }
  output "o" { value = each.key }
  output "unused" { value = run.thre.out }
}

rule "called" {
  param "p" { type = number }

  run "one" {
    command = [param.p.x, run.tow.out]
  }
  output "o" { value = upper(param.p.y) }
}

called "first" {
  p = 1
}

called "second" {
  p = 2
}

rule "ring" {
  ring2 "x" {}
}

rule "ring2" {
  ring "x" {}
}

ring "r" {}

rule "presets" {
  param "n" {
    type    = number
    default = "many"
  }
  param "list" {
    type    = list(string)
    default = [local.nope]
  }
}
