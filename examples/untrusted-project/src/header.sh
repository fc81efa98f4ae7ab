#!/bin/sh
# wordcount: the most frequent words of the files given, or of standard input.
top=${WORDCOUNT_TOP:-10}
