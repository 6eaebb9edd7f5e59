# Three years of temperatures become a chart and a table. Each year is a CSV file that is downloaded
# and checked; its rows are joined with the list of stations, and an awk script draws them.
#
#   cbuild          makes cbuild-out/chart/chart.svg and cbuild-out/report
#   cbuild          runs nothing
#
# Correct a number in years/2022.csv and its checksum in years.csv: 2022 is joined again, the chart is
# drawn again, and the other years stay as they are.
cbuild {}

locals {
  # Where the files are, and what they must hold. Here they lie in the workspace; https://… works the same.
  years = { for y in csvdecode(file("years.csv")) : y.year => y }
}

fetch "table" {
  for_each = local.years

  url    = each.value.url
  sha256 = each.value.sha256
}

# month,celsius,station: the rows of a year, with the names of the stations in place of their numbers.
run "joined" {
  for_each = fetch.table

  inputs = { "table.csv" = each.value.out, "stations.csv" = "stations.csv" }
  tools  = ["join", "sort", "tail"]
  script = <<-SH
    tail -n +2 stations.csv | sort -t, -k1,1 > stations
    tail -n +2 table.csv | sort -t, -k2,2 | join -t, -1 2 -2 1 -o 1.1,1.3,2.2 - stations > rows
    sort -t, -k3,3 -k1,1n rows > $out
  SH
  out    = "${each.key}.csv"
}

# {"Harbour": 10.7, …}: the mean of each station.
run "mean" {
  for_each = run.joined

  inputs  = ["mean.awk"]
  command = ["awk", "-f", "mean.awk", each.value.out]
}

run "chart" {
  description = "All years in one picture."

  inputs  = ["chart.awk"]
  command = concat(["awk", "-f", "chart.awk"], [for year in run.joined : year.out])
  stdout  = "chart.svg"
}

collate "report" {
  title       = "Mean temperature in °C"
  description = "A row for each year, a column for each station."

  rows = run.mean
  columns = {
    harbour = each.value.json.Harbour
    meadow  = each.value.json.Meadow
    pass    = each.value.json.Pass
  }
}
