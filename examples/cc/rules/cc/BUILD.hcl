# A rule for programs of C: each source is compiled by itself, then all are linked. A call of it becomes the targets
# NAME/object and NAME/link of the caller's package.
rule "cc_binary" {
  description = "A program of C sources."

  param "srcs" {
    type        = files
    description = "The sources."
  }
  param "hdrs" {
    type        = files
    default     = []
    description = "Headers, which every source may include."
  }
  param "cflags" {
    type    = list(string)
    default = ["-O2"]
  }

  run "object" {
    for_each = param.srcs

    with    = param.hdrs
    command = concat(["cc", "-c"], param.cflags, [each.value, "-o", object_name(each.key)])
    out     = object_name(each.key)
  }

  run "link" {
    command = concat(["cc", "-o", rule.name], [for o in run.object : o.out])
    out     = rule.name
  }

  output "out" { value = run.link.out }
}

function "object_name" {
  params = [source]
  result = regex_replace(source, "\\.c$", ".o")
}
