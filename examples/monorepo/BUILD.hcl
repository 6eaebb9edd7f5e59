# A small repository of three packages: this one, which tests the library in text/, and two programs that use
# the library. A directory with a BUILD.hcl is a package.
#
#   cbuild //...              builds and tests everything
#   cbuild //count:sample     builds what one run needs, wherever one stands
#   echo teh cat | cbuild exec //spell:spell
#
# text/ has no BUILD.hcl, so its files can be named from everywhere: //text/text.h. Both programs compile the
# library with the same command; that is one action, whoever asks for it, and runs once.
cbuild {}

run "test_program" {
  inputs  = ["text/text.c", "text/text_test.c"]
  with    = ["text/text.h"]
  command = ["cc", "-O2", "-Wall", "-o", "text_test", "text/text.c", "text/text_test.c"]
  out     = "text_test"
}

run "test" {
  description = "The tests of the library."
  tags        = ["test"]

  command = [run.test_program.out]
}
