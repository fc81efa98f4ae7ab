//! Names of Ruby: what code may use. See `ruby.rs` for the rules.

use super::walk::{Modules, Names, modules, words};
use std::sync::LazyLock;

/// Methods of `Kernel` that are called without a receiver and only compute, print or read the standard streams; with
/// `-n` and `-p` some of them edit the line.
pub(super) static FUNCTIONS: Names = LazyLock::new(|| {
    words(
        "puts print p pp printf format sprintf rand srand Integer Float String Array Rational Complex loop raise lambda \
         proc gets readline readlines exit sleep block_given? sub gsub chomp chop",
    )
});

/// Methods of any value: strings, symbols, numbers, arrays, hashes, ranges, times, matches, sets.
pub(super) static METHODS: Names = LazyLock::new(|| {
    words(
        "abs accumulate all? any? append ascii_only? assoc at b between? bytes bytesize capitalize ceil center chars chomp \
         chop chr chunk_while clamp clear codepoints collect combination compact compare_by_identity concat count \
         cover? cycle day days delete delete_at delete_if denominator detect difference dig digits div divmod downcase \
         drop drop_while dup each each_byte each_char each_cons each_entry each_key each_line each_pair each_slice \
         each_value each_with_index each_with_object empty? encode encoding end_with? entries eql? even? fdiv fetch \
         fetch_values fill filter filter_map find find_all find_index finite? first flat_map flatten floor \
         force_encoding freeze frozen? gcd getbyte group_by gsub has_key? has_value? hex hour include? index infinite? \
         inject insert inspect integer? intersect? intersection invert is_a? iso8601 itself join keep_if key key? keys \
         kind_of? last lazy lcm length lines ljust lstrip map match match? max max_by member? merge message min min_by \
         minmax mon month nan? negative? new_offset next nil? none? numerator nsec oct odd? one? ord pack partition \
         permutation pop positive? pow pred prepend product push quo rassoc rationalize reduce reject remainder \
         repeated_combination replace respond_to? reverse reverse_each rindex rjust rotate round rpartition rstrip \
         sample scan sec select shift shuffle size slice slice_when sort sort_by split sqrt squeeze start_with? step \
         strftime strip sub subset? succ sum superset? swapcase symmetric_difference take take_while tally tap then times \
         to_a to_c to_date to_datetime to_f to_h to_i to_json to_r to_s to_set to_str to_sym to_time to_yaml tr tr_s \
         transform_keys transform_values transpose truncate unicode_normalize union uniq unpack unpack1 unshift upcase \
         upto downto usec utc valid_encoding? values values_at wday with_index with_object yday year zero? zip min \
         map! select! reject! sort! uniq! reverse! gsub! sub! strip! chomp! upcase! downcase! compact! flatten! shuffle! \
         sort_by! merge! squeeze! tr! rewind read readlines each_char getc eof? sync= call captures named_captures \
         pre_match post_match begin end hexdigest iso8601 to_regexp parameterize",
    )
});

/// Constants that are values.
pub(super) static VALUES: Names = LazyLock::new(|| {
    words("RUBY_VERSION RUBY_PLATFORM RUBY_ENGINE RUBY_PATCHLEVEL RUBY_RELEASE_DATE RUBY_COPYRIGHT RUBY_DESCRIPTION")
});

/// Constants with the methods of each that only compute.
pub(super) static CONSTANTS: Modules = LazyLock::new(|| {
    modules(&[
        ("Math", "sqrt cbrt sin cos tan atan atan2 exp log log2 log10 pow hypot"),
        ("JSON", "parse generate pretty_generate dump"),
        ("YAML", "safe_load dump"),
        ("CSV", "parse parse_line generate_line"),
        ("Time", "now at parse iso8601 utc local mktime gm"),
        ("Date", "today parse new valid_date? leap?"),
        ("DateTime", "now parse"),
        ("Process", "pid clock_gettime"),
        ("Random", "rand new"),
        ("SecureRandom", "hex uuid base64 urlsafe_base64 alphanumeric random_number"),
        ("Digest::MD5", "hexdigest base64digest"),
        ("Digest::SHA1", "hexdigest base64digest"),
        ("Digest::SHA256", "hexdigest base64digest"),
        ("Digest::SHA512", "hexdigest base64digest"),
        ("Base64", "encode64 decode64 strict_encode64 strict_decode64 urlsafe_encode64 urlsafe_decode64"),
        ("Hash", "new"),
        ("Array", "new"),
        ("String", "new"),
        ("Set", "new"),
        ("Integer", "sqrt"),
        ("URI", "parse encode_www_form_component decode_www_form_component encode_www_form"),
        ("STDIN", "read each_line gets readlines each getc eof?"),
        ("STDOUT", "puts print write printf flush sync="),
        ("STDERR", "puts print write printf flush"),
        ("ARGF", "read each_line each gets readlines readline lineno eof?"),
        ("ARGV", "each map first last join inspect length size empty? to_s [] include?"),
        ("Dir", "pwd"),
        ("File", "basename dirname extname join expand_path split"),
        ("Etc", "nprocessors"),
    ])
});

/// Constants of `Process`, `Math` and others that are numbers.
pub(super) static NUMBERS: Names = LazyLock::new(|| {
    words("Math::PI Math::E Process::CLOCK_MONOTONIC Process::CLOCK_REALTIME Float::INFINITY Float::NAN Float::EPSILON")
});

/// Methods of `File` and `Dir` whose first argument names what they do it to.
pub(super) static FILE_READS: Names = LazyLock::new(|| {
    words("read readlines foreach binread exist? file? directory? size zero? mtime stat symlink? readable? executable?")
});
pub(super) static FILE_WRITES: Names = LazyLock::new(|| words("write binwrite"));
pub(super) static DIR_READS: Names = LazyLock::new(|| words("entries children exist? each_child glob"));

/// Libraries that may be required: they come with Ruby, define what their name says and run nothing.
pub(super) static LIBRARIES: Names = LazyLock::new(|| {
    words("json date time set yaml csv digest securerandom base64 bigdecimal pp uri etc prime English")
});

/// Global variables that may be read.
pub(super) static GLOBALS: Names =
    LazyLock::new(|| words("$_ $. $F $0 $stdin $stdout $stderr $1 $2 $3 $4 $5 $6 $7 $8 $9 $~ $& $PROGRAM_NAME $, $/"));

/// Nodes that are harmless when all in them is.
pub(super) static PLAIN: Names = LazyLock::new(|| {
    words(
        "program begin ensure else elsif then if unless while until for in do if_modifier unless_modifier while_modifier \
         until_modifier conditional case when pattern binary unary range parenthesized_statements begin_block end_block \
         block do_block block_body body_statement block_parameters lambda lambda_parameters splat_argument \
         hash_splat_argument keyword_parameter optional_parameter splat_parameter destructured_parameter array hash pair \
         hash_key_symbol simple_symbol string_content escape_sequence interpolation integer float true false nil \
         argument_list expression_statement next break return redo string_array bare_string symbol_array bare_symbol \
         left_assignment_list right_assignment_list rest_assignment empty_statement instance_variable then element_list \
         chained_string rescue_modifier rescue exceptions exception_variable regex",
    )
});
