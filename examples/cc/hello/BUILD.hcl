import "cc" {
  from  = "//rules/cc"
  rules = ["cc_binary"]
}

cc_binary "hello" {
  srcs = ["hello.c", "//say/say.c"]
  hdrs = ["//say/say.h"]
}

run "said" {
  command = [cc_binary.hello.out]
  stdout  = "said.txt"
}
