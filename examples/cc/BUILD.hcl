# Two programs of C, made by a rule that is written in HCL: rules/cc/BUILD.hcl.
#
#   cbuild //...                 builds both, and runs them
#   cbuild //hello:hello         one program: cbuild-out/@hello/hello/hello
#   cbuild //hello:hello/object  what is inside of the rule has labels, too
#   cbuild exec //greet:greet you
cbuild {}
