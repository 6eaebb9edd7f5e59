# Reads the index of a Debian mirror and writes an object of the packages in names: { "NAME": { "file": …, "sha256": … } }.
BEGIN {
  n = split(names, list, " ")
  for (i = 1; i <= n; i++)
    wanted[list[i]] = 1
  FS = ": "
  printf "{"
}
$1 == "Package" { name = $2 }
$1 == "Filename" { file = $2 }
$1 == "SHA256" && name in wanted {
  printf "%s\n  \"%s\": {\"file\": \"%s\", \"sha256\": \"%s\"}", comma, name, file, $2
  comma = ","
  delete wanted[name]
}
END {
  print "\n}"
  for (name in wanted) {
    print "no package " name > "/dev/stderr"
    missing = 1
  }
  exit missing
}
