# Draws lines month,celsius,station as SVG: a curve for each station, the years side by side. Each file is a year, by its name.
BEGIN {
	FS = ","
	left = 46; top = 40; width = 720; height = 280
	low = -10; high = 25
	split("#0072b2 #009e73 #d55e00 #cc79a7", colours, " ")
}

FNR == 1 {
	year[++years] = FILENAME
	sub(/^.*\//, "", year[years])
	sub(/\.csv$/, "", year[years])
}

{
	if (!($3 in curve)) names[++stations] = $3
	curve[$3] = curve[$3] sprintf(" %.1f,%.1f", across((years - 1) * 12 + $1 - 0.5), up($2))
}

END {
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", left + width + 20, top + height + 40
	print "<title>Mean temperature of each month</title>"
	print "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
	for (t = low; t <= high; t += 5) {
		line(left, up(t), left + width, up(t), t == 0 ? "#888888" : "#e4e4e4")
		text(left - 8, up(t) + 4, "end", "#555555", t " °C")
	}
	for (i = 1; i <= years; i++) {
		if (i > 1) line(across((i - 1) * 12), top, across((i - 1) * 12), top + height, "#bbbbbb")
		text(across((i - 0.5) * 12), top + height + 24, "middle", "#222222", year[i])
	}
	for (i = 1; i <= stations; i++) {
		printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"%s\"/>\n", colours[i], substr(curve[names[i]], 2)
		text(left + (i - 1) * 110, top - 16, "start", colours[i], "● " names[i])
	}
	print "</svg>"
}

function across(month) { return left + width * month / (years * 12 > 36 ? years * 12 : 36) }

function up(celsius) { return top + height * (high - celsius) / (high - low) }

function line(x1, y1, x2, y2, colour) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour
}

function text(x, y, anchor, colour, words) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, anchor, colour, words
}
