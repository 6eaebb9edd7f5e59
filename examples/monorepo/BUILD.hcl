# A small repository of three packages: this one, which compiles and tests the library in text/, and two programs
# that import the library from here. A directory with a BUILD.hcl is a package.
#
#   cbuild //...              builds and tests everything
#   cbuild //count:sample     builds what one run needs, wherever one stands
#   echo teh cat | cbuild exec //spell:spell
#
# text/ has no BUILD.hcl, so its files can be named from everywhere: //text/text.h. What is made of them is imported:
# import "root" { from = "//" } makes the object here import.root.library.
cbuild {}

run "library" {
  inputs  = ["text/text.c"]
  with    = ["text/text.h"]
  command = ["cc", "-O2", "-Wall", "-c", "text/text.c", "-o", "text.o"]
  out     = "text.o"
}

run "test_program" {
  inputs  = ["text/text_test.c"]
  with    = ["text/text.h"]
  command = ["cc", "-O2", "-Wall", "-o", "text_test", "text/text_test.c", run.library.out]
  out     = "text_test"
}

run "test" {
  description = "The tests of the library."
  tags        = ["test"]

  command = [run.test_program.out]
}
