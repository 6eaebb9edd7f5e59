# Prints what a crate says of itself and what is in it, as JSON: awk -f facts.awk Cargo.toml FILE.rs…
FNR == 1 { section = ""; files += (FILENAME ~ /\.rs$/) }

FILENAME !~ /\.rs$/ {
	if ($0 ~ /^\[/) section = $0
	if (section == "[package]" && /^edition[ \t]*=/) { gsub(/[" ]/, "", $0); edition = substr($0, index($0, "=") + 1) }
	if (section ~ /^\[dependencies/ && $0 ~ /^[A-Za-z]/ && section == "[dependencies]") needs++
	if (section ~ /^\[dependencies\./ && $0 ~ /^\[/) needs++
	next
}

{ lines++ }
/^[ \t]*\/\// { next }
/(^|[^A-Za-z0-9_])unsafe([^A-Za-z0-9_]|$)/ { unsafes++ }

END {
	printf "{\"edition\": \"%s\", \"dependencies\": %d, \"files\": %d, \"lines\": %d, \"unsafe\": %d}\n",
		edition == "" ? "2015" : edition, needs, files, lines, unsafes
}
