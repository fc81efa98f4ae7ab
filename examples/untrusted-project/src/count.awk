{ for (i = 1; i <= NF; i++) seen[tolower($i)]++ }
END { for (word in seen) print seen[word], word }
