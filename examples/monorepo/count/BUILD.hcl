# count says how many words a text has.
import "root" { from = "//" }

run "count" {
  inputs  = ["count.c"]
  with    = ["//text/text.h"]
  command = ["cc", "-O2", "-Wall", "-Itext", "-o", "count", "count.c", import.root.library.out]
  out     = "count"
}

run "sample" {
  command = [run.count.out]
  stdin   = file("sample.txt")
  stdout  = "count.txt"
}
