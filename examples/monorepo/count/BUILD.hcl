# count says how many words a text has.
run "text" {
  inputs  = ["//text/text.c"]
  with    = ["//text/text.h"]
  command = ["cc", "-O2", "-Wall", "-c", "text/text.c", "-o", "text.o"]
  out     = "text.o"
}

run "count" {
  inputs  = ["count.c"]
  with    = ["//text/text.h"]
  command = ["cc", "-O2", "-Wall", "-Itext", "-o", "count", "count.c", run.text.out]
  out     = "count"
}

run "sample" {
  command = [run.count.out]
  stdin   = file("sample.txt")
  stdout  = "count.txt"
}
