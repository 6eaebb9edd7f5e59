# Prints the mean of each station as JSON. Its input has lines month,celsius,station in the order of the stations.
BEGIN { FS = "," }

$3 != station && NR > 1 { finish() }

{
	station = $3
	sum += $2
	n++
}

END {
	finish()
	print text "}"
}

function finish() {
	text = text (text == "" ? "{" : ", ") "\"" station "\": " sprintf("%.1f", sum / n)
	sum = n = 0
}
