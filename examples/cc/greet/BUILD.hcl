import "cc" {
  from  = "//rules/cc"
  rules = ["cc_binary"]
}

import "hello" { from = "//hello" }

cc_binary "greet" {
  srcs = ["greet.c", "//say/say.c"]
  hdrs = ["//say/say.h"]
}

# The other program is imported like any target: by its outputs.
run "both" {
  script = <<-EOT
    ${import.hello.hello.out} > $out
    ${cc_binary.greet.out} everybody >> $out
  EOT
  out    = "both.txt"
}
