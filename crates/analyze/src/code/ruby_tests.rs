//! What the reader of Ruby takes, and what it must not.

use super::Facts;
use super::ruby::read;

#[test]
fn programs_that_only_compute() {
    for code in [
        "puts 1 + 1",
        "puts 'a'.upcase, \"b #{1 + 1}\"",
        "p [3, 1].sort.map { |x| x * 2 }.reverse",
        "puts RUBY_VERSION",
        "require 'json'; puts JSON.pretty_generate(JSON.parse(STDIN.read))",
        "require \"json\"; puts JSON.parse($stdin.read, symbolize_names: true)[:a]",
        "puts (1..10).inject(:+)",
        "puts [1, 2].inject(0) { |a, b| a + b }",
        "puts %w[a b].map(&:upcase).join(',')",
        "puts $_ if /x/",
        "puts $_.split(',')[1] if $_ =~ /a(.)/",
        "$_.gsub!(/a/, 'b')",
        "gsub(/a/) { |m| m.upcase }",
        "puts Time.now.strftime('%F')",
        "require 'date'; puts Date.today + 1",
        "require 'securerandom'; puts SecureRandom.hex(8)",
        "require 'digest'; puts Digest::SHA256.hexdigest('x')",
        "s = 0; while l = gets; s += l.to_i; end; puts s",
        "BEGIN { n = 0 }; n += 1; END { puts n }",
        "h = Hash.new(0); ARGF.each_line { |l| h[l.chomp] += 1 }; h.sort_by { |k, v| -v }.each { |k, v| puts \"#{k} #{v}\" }",
        "printf(\"%05.2f\\n\", 3.14159)",
        "puts ARGV.first, ARGV[1]",
        "f = ->(x) { x * 2 }; puts f.call(3)",
        "x = 5; puts x > 3 ? 'big' : 'small'",
        "case 3 when 1..5 then puts 'in' else puts 'out' end",
        "begin; Integer('x'); rescue => e; puts e.message; end",
        "STDERR.puts 'x'; $stdout.flush",
        "puts Math.sqrt(2), Math::PI",
        "puts [1, nil].compact.sum / 2.0",
    ] {
        assert_eq!(read(code), Some(Facts::default()), "{code}");
    }
}

#[test]
fn files_and_variables() {
    let one = |code: &str| read(code).unwrap_or_default();
    assert_eq!(one("puts File.read('a').lines.size").reads, ["a"]);
    assert_eq!(one("File.foreach(\"b\") { |l| puts l if l.include?('x') }").reads, ["b"]);
    assert_eq!(one("File.write('c', 'x')").writes, ["c"]);
    assert_eq!(one("File.delete('d')").deletes, ["d"]);
    assert_eq!(one("puts Dir.glob('src/**/*.rb').size").reads, ["src"]);
    assert_eq!(one("puts Dir['*.rb']").reads, ["."]);
    assert_eq!(one("puts ENV['HOME'], ENV.fetch('X', 1)").variables, ["HOME", "X"]);
}

#[test]
fn everything_else_is_opaque() {
    for code in [
        "system('id')",
        "system 'id'",
        "`id`",
        "puts `id`",
        "%x(id)",
        "puts \"#{`id`}\"",
        "/#{`id`}/",
        "exec 'id'",
        "spawn 'id'",
        "fork",
        "eval '1'",
        "instance_eval '1'",
        "1.instance_eval('system 1')",
        "send(:system, 'id')",
        "1.send(:system, 'id')",
        "1.public_send(:instance_eval, 'id')",
        "1.__send__(:system)",
        "method(:system).call('id')",
        "[:system].each { |m| send m, 'id' }",
        "['id'].each(&method(:system))",
        "['id'].each(&:instance_eval)",
        "['x', 'id'].inject(:instance_eval)",
        "m = :instance_eval; ['x', 'id'].inject(m)",
        "['x', 'id'].reduce(*[:instance_eval])",
        "open('|id').read",
        "open('x', 'w')",
        "Kernel.open('|id')",
        "IO.popen('id')",
        "IO.read('|id')",
        "Kernel.system('id')",
        "Object.const_get(:Kernel)",
        "require './x'",
        "require 'open3'",
        "require_relative 'x'",
        "load 'x.rb'",
        "autoload :X, './x'",
        "File.read(x)",
        "File.read(ARGV[0])",
        "File.open('x', 'w')",
        "File.delete('a', 'b')",
        "File.send(:delete, 'a')",
        "f = File; f.delete('x')",
        "class A; end",
        "def puts(x); end",
        "def method_missing(*a); end",
        "alias puts system; puts 'id'",
        "undef puts",
        "module Kernel; end",
        "define_method(:x) {}",
        "$stdout = x",
        "$0 = 'x'",
        "$: << '.'; require 'json'",
        "$LOAD_PATH.unshift '.'; require 'json'",
        "ENV['PATH'] = '/tmp'",
        "ENV.each { |k, v| puts v }",
        "puts ENV.to_h",
        "ARGV << '/etc/shadow'; puts gets",
        "ARGV[0] = '/etc/shadow'; puts gets",
        "ARGV.replace ['x']",
        "a = ARGV; a.push 'x'; puts gets",
        "trap('EXIT') { }",
        "at_exit { }",
        "ObjectSpace.each_object",
        "binding",
        "self.class",
        "puts <<E\nx\nE",
        "puts <<~'E'\n#{`id`}\nE",
        "x = ?\"; system(\"id\") #\"",
        "puts /\"/; system(\"id\") #\"/",
        "puts %q(a)",
        "puts %Q(#{`id`})",
        "=begin\n=end\nputs 1",
        "# coding: utf-7\nputs 1",
        "puts 1\n__END__\nx",
        "puts 1\rsystem('id')",
        "Process.kill(9, 1)",
        "JSON.load(gets)",
        "JSON.parse(gets, create_additions: true)",
        "YAML.load(gets)",
        "Marshal.load(gets)",
        "[1].each { |system| }; system",
        "exit!",
        "yield",
        "proc(&:instance_eval)",
        "puts [1].map(&x)",
        "x.y = 1",
        "::Kernel.exec('id')",
        "BasicObject.new",
        "refine String do end",
        "puts 1 if",
        "__method__",
        "DATA.read",
        "begin; raise 'x'; rescue system('id'); end",
        "begin; raise 'x'; rescue (system 'id'; Object)::StandardError; end",
        "begin; raise 'x'; rescue (system 'id'; StandardError) => e; end",
        "->(a = system('id')) { a }.call",
        "[1].each { |a, b = system('id')| }",
        "x = {a: system('id')}",
        "x[system('id')] = 1",
        "x, y[system('id')] = 1, 2",
        "case 1 when system('id') then 1 end",
        "puts(1, *system('id'))",
        "1.then { |x; y| system 'id' }",
    ] {
        assert_eq!(read(code), None, "{code}");
    }
    assert_eq!(read(&format!("{}x{} = 1", "(".repeat(4000), ")".repeat(4000))), None);
    assert_eq!(read(&"(".repeat(5000)), None);
    assert_eq!(read(&format!("x = <<{}\n", "A".repeat(300))), None);
}
