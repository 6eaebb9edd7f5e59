# spell names the words of a text that are not in its dictionary. The dictionary is C source that a program
# writes, and that program is built first.
import "root" { from = "//" }

run "generator" {
  inputs  = ["generate.c"]
  command = ["cc", "-O2", "-Wall", "-o", "generate", "generate.c"]
  out     = "generate"
}

run "dictionary" {
  command = [run.generator.out]
  stdin   = file("words.txt")
  stdout  = "dictionary.c"
}

run "spell" {
  inputs  = ["spell.c"]
  with    = ["//text/text.h"]
  command = ["cc", "-O2", "-Wall", "-Itext", "-o", "spell", "spell.c", run.dictionary.out, import.root.library.out]
  out     = "spell"
}

run "sample" {
  command = [run.spell.out]
  stdin   = file("sample.txt")
  stdout  = "misspelt.txt"
}
