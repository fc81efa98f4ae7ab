//! Records as Parquet (<https://parquet.apache.org/docs/file-format/>): a column for each fact that an auditor asks for, and
//! the exact line, over which the chain goes. Written as it is read, a row group at a time: a log may be longer than memory.

use super::hash::chain;
use super::line::Header;
use super::query::Filter;
use super::{AuditError, AuditLog};
use ::parquet::basic::Compression;
use ::parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::ColumnPath;
use model::{AuditRecord, Stage, hex};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::sync::Arc;

/// What a row has. Within a version of the key `belljar.schema` columns are only ever added.
pub const SCHEMA: &str = "message audit {
    required int64 seq (INTEGER(64, false));
    required int64 time (TIMESTAMP(MILLIS, true));
    required binary kind (STRING);
    optional binary trial (STRING);
    optional binary decision (STRING);
    optional binary tier (STRING);
    optional binary tier_bare (STRING);
    optional binary command (STRING);
    required int32 uid (INTEGER(32, false));
    optional binary actor (STRING);
    required binary hash (STRING);
    required binary line (STRING);
}";

/// A row group is written when its lines are so long together, or so many.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_ROWS: usize = 1 << 16;

/// Rows that are not written yet, column by column.
#[derive(Default)]
struct Rows {
    seq: Vec<i64>,
    time: Vec<i64>,
    kind: Texts,
    trial: Texts,
    decision: Texts,
    tier: Texts,
    tier_bare: Texts,
    command: Texts,
    uid: Vec<i32>,
    actor: Texts,
    hash: Texts,
    line: Texts,
    bytes: usize,
}

/// Texts of which some may be missing.
#[derive(Default)]
struct Texts {
    there: Vec<ByteArray>,
    levels: Vec<i16>,
}

impl Texts {
    fn push(&mut self, text: Option<&[u8]>) {
        self.levels.push(i16::from(text.is_some()));
        self.there.extend(text.map(|text| ByteArray::from(text.to_vec())));
    }
}

/// The word of a record, as it stands in its line.
#[derive(Deserialize)]
struct Kind {
    stage: String,
}

/// As it stands in JSON.
fn word(value: impl Serialize) -> Option<Vec<u8>> {
    Some(serde_json::to_value(value).ok()?.as_str()?.as_bytes().to_vec())
}

impl Rows {
    fn push(&mut self, line: &[u8], header: &Header, record: &AuditRecord, kind: &str) {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let (mut decision, mut tier, mut bare, mut command, mut actor) = (None, None, None, None, None);
        match &record.stage {
            Stage::Decided { analysis, assessment, decision: decided, approved_by, .. } => {
                (decision, tier, bare) =
                    (word(decided.verdict), word(assessment.tiers.contained), word(assessment.tiers.bare));
                command = text(&analysis.text);
                actor = approved_by.as_deref().and_then(text);
            }
            Stage::Settling { by, .. } => actor = text(by),
            _ => {}
        }
        let head = header.prev().map(|prev| hex(&chain(&prev, line)));
        // Parquet has no unsigned numbers of its own: their bits stand in signed ones, and the schema says so.
        self.seq.push(record.seq.cast_signed());
        self.time.push(record.time_ms.cast_signed());
        self.kind.push(Some(kind.as_bytes()));
        self.trial.push(record.trial.as_ref().map(|trial| trial.0.as_bytes()));
        self.decision.push(decision.as_deref());
        self.tier.push(tier.as_deref());
        self.tier_bare.push(bare.as_deref());
        self.command.push(command.as_deref());
        self.uid.push(record.uid.cast_signed());
        self.actor.push(actor.as_deref());
        self.hash.push(Some(head.unwrap_or_default().as_bytes()));
        self.line.push(Some(line));
        self.bytes += line.len();
    }

    /// As the columns of the schema, in its order.
    fn columns(&self) -> [Column<'_>; 12] {
        [
            Column::Long(&self.seq),
            Column::Long(&self.time),
            Column::Text(&self.kind),
            Column::Text(&self.trial),
            Column::Text(&self.decision),
            Column::Text(&self.tier),
            Column::Text(&self.tier_bare),
            Column::Text(&self.command),
            Column::Int(&self.uid),
            Column::Text(&self.actor),
            Column::Text(&self.hash),
            Column::Text(&self.line),
        ]
    }

    fn write<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        if self.seq.is_empty() {
            return Ok(());
        }
        let mut group = file.next_row_group()?;
        for column in self.columns() {
            let mut writer =
                group.next_column()?.ok_or_else(|| ParquetError::General("the schema is shorter".into()))?;
            column.write(writer.untyped())?;
            writer.close()?;
        }
        group.close()?;
        *self = Rows::default();
        Ok(())
    }
}

enum Column<'r> {
    Long(&'r [i64]),
    Int(&'r [i32]),
    Text(&'r Texts),
}

impl Column<'_> {
    fn write(&self, to: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        match (self, to) {
            (Column::Long(values), ColumnWriter::Int64ColumnWriter(to)) => put(to, values, None),
            (Column::Int(values), ColumnWriter::Int32ColumnWriter(to)) => put(to, values, None),
            (Column::Text(texts), ColumnWriter::ByteArrayColumnWriter(to)) => {
                let optional = to.get_descriptor().max_def_level() > 0;
                put::<ByteArrayType>(to, &texts.there, optional.then_some(&texts.levels))
            }
            _ => Err(ParquetError::General("the schema has another type".into())),
        }
    }
}

fn put<T: DataType>(
    to: &mut ColumnWriterImpl<'_, T>,
    values: &[T::T],
    levels: Option<&Vec<i16>>,
) -> Result<(), ParquetError> {
    to.write_batch(values, levels.map(Vec::as_slice), None).map(|_| ())
}

/// Writes the records that `filter` takes, oldest first: how many.
///
/// # Errors
/// When the log cannot be read, or `out` not be written; what is there then is no whole file, and no reader takes it for one.
pub fn export(log: &AuditLog, filter: &Filter, out: impl Write + Send) -> Result<u64, AuditError> {
    export_by(GROUP_BYTES, log, filter, out)
}

fn export_by(group_bytes: usize, log: &AuditLog, filter: &Filter, out: impl Write + Send) -> Result<u64, AuditError> {
    let schema = parse_message_type(SCHEMA).map_err(AuditError::Columns)?;
    let version = KeyValue::new("belljar.schema".to_owned(), "belljar.audit-rows/1".to_owned());
    let properties = WriterProperties::builder()
        .set_created_by(concat!("belljar ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .set_compression(Compression::UNCOMPRESSED)
        // No two are the same.
        .set_column_dictionary_enabled(ColumnPath::from("line"), false)
        .set_column_dictionary_enabled(ColumnPath::from("hash"), false);
    let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()));
    let mut file = writer.map_err(AuditError::Columns)?;
    let (mut rows, mut written, mut count) = (Rows::default(), Ok(()), 0);
    log.lines(|line, record| {
        if written.is_err() || !filter.takes(&record) {
            return;
        }
        // A line that is a record has both.
        let (Some(header), Ok(kind)) = (Header::of(line), serde_json::from_slice::<Kind>(line)) else { return };
        rows.push(line, &header, &record, &kind.stage);
        count += 1;
        if rows.bytes >= group_bytes || rows.seq.len() >= GROUP_ROWS {
            written = rows.write(&mut file);
        }
    })?;
    written
        .and_then(|()| rows.write(&mut file))
        .and_then(|()| file.close().map(|_| ()))
        .map_err(AuditError::Columns)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::{Durability, Rotation};
    use super::*;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::{Field, Row};
    use model::{Analysis, Assessment, Because, Decision, Place, Risk, Tiers, TrialId, Verdict};
    use std::time::Duration;

    fn decided(text: &str, verdict: Verdict, by: Option<&str>) -> Stage {
        let tiers = Tiers { contained: Risk::Medium, bare: Risk::High };
        let because = vec![Because { verdict, rules: vec!["r".into()], about: "x".into() }];
        let path = || model::FilePath::from("/w");
        Stage::Decided {
            analysis: Box::new(Analysis::of(text, Vec::new())),
            assessment: Assessment { tiers, reasons: Vec::new(), explanation: Vec::new() },
            decision: Decision { verdict, because },
            profile: None,
            approved_by: by.map(str::to_owned),
            policy: None,
            place: Some(Place { cwd: path(), home: path(), workspace: path(), state: path(), uid: 0, contained: true }),
        }
    }

    fn opened(bytes: &[u8]) -> SerializedFileReader<std::fs::File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    fn rows(log: &AuditLog, filter: &Filter) -> (Vec<Row>, u64) {
        let mut bytes = Vec::new();
        let count = export(log, filter, &mut bytes).unwrap();
        let file = opened(&bytes);
        let rows = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        (rows, count)
    }

    fn text<'r>(row: &'r Row, name: &str) -> Option<&'r str> {
        match row.get_column_iter().find(|(column, _)| *column == name).unwrap().1 {
            Field::Str(text) => Some(text),
            Field::Null => None,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn field(row: &Row, name: &str) -> Field {
        row.get_column_iter().find(|(column, _)| *column == name).unwrap().1.clone()
    }

    #[test]
    fn parquet_has_every_line_with_its_facts_in_columns() {
        let state = tempfile::tempdir().unwrap();
        let log = AuditLog::rotating(state.path(), Rotation { bytes: 4096, age: Duration::from_secs(3600) });
        let trial = TrialId("t1".into());
        for number in 0..40 {
            let (verdict, by) =
                if number % 2 == 0 { (Verdict::Allow, Some("grant é")) } else { (Verdict::Deny, None) };
            log.append(Some(&trial), decided(&format!("echo {number} \u{202e}ü"), verdict, by), Durability::Synced)
                .unwrap();
            let settling =
                Stage::Settling { verb: "apply".into(), paths: vec![], by: "person".into(), granted: vec![] };
            log.append(None, settling, Durability::Lazy).unwrap();
        }
        assert!(log.dir().join("log.000001.jsonl").exists(), "some segments are closed");
        let (all, count) = rows(&log, &Filter::default());
        let mut lines = Vec::new();
        log.lines(|line, record| lines.push((String::from_utf8(line.to_vec()).unwrap(), record))).unwrap();
        assert_eq!((all.len(), count), (lines.len(), lines.len() as u64));
        for (row, (line, record)) in all.iter().zip(&lines) {
            assert_eq!(text(row, "line"), Some(line.as_str()));
            assert_eq!(field(row, "seq"), Field::ULong(record.seq));
            assert_eq!(field(row, "time"), Field::TimestampMillis(record.time_ms.cast_signed()));
            assert_eq!(field(row, "uid"), Field::UInt(record.uid));
            assert_eq!(text(row, "trial"), record.trial.as_ref().map(|trial| trial.0.as_str()));
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(text(row, "kind"), json["stage"].as_str());
            assert_eq!(text(row, "command"), json["analysis"]["text"].as_str());
            assert_eq!(text(row, "decision"), json["decision"]["verdict"].as_str());
            assert_eq!(text(row, "tier"), json["assessment"]["tiers"]["contained"].as_str());
            assert_eq!(text(row, "tier_bare"), json["assessment"]["tiers"]["bare"].as_str());
            assert_eq!(text(row, "actor"), json["approved_by"].as_str().or(json["by"].as_str()));
        }
        // The chain goes through the columns: each hash is what the next line was written behind.
        for (row, next) in all.iter().zip(all.iter().skip(1)) {
            let behind: serde_json::Value = serde_json::from_str(text(next, "line").unwrap()).unwrap();
            assert_eq!(text(row, "hash"), behind["prev"].as_str());
        }
        assert_eq!(text(all.last().unwrap(), "hash"), Some(log.head().unwrap().as_str()));
    }

    #[test]
    fn parquet_of_a_selection_and_of_nothing() {
        let state = tempfile::tempdir().unwrap();
        let log = AuditLog::new(state.path());
        assert_eq!(rows(&log, &Filter::default()).1, 0, "there is no log yet");
        for (text, verdict) in [("ls", Verdict::Allow), ("rm -rf /", Verdict::Deny)] {
            log.append(None, decided(text, verdict, None), Durability::Lazy).unwrap();
        }
        let (denied, count) = rows(&log, &Filter { decision: Some(Verdict::Deny), ..Filter::default() });
        assert_eq!((count, text(&denied[0], "command")), (1, Some("rm -rf /")));
        assert_eq!(rows(&log, &Filter { until_ms: Some(1), ..Filter::default() }).1, 0);
    }

    /// More than one row group, and what cannot be written is an error.
    #[test]
    fn parquet_of_a_long_log_comes_in_groups() {
        let state = tempfile::tempdir().unwrap();
        let log = AuditLog::new(state.path());
        for number in 0..40 {
            log.append(None, Stage::Failed { error: format!("no. {number}") }, Durability::Lazy).unwrap();
        }
        let mut bytes = Vec::new();
        let count = export_by(1000, &log, &Filter::default(), &mut bytes).unwrap();
        let file = opened(&bytes);
        assert!(file.metadata().num_row_groups() > 1);
        assert_eq!(file.metadata().file_metadata().num_rows(), i64::try_from(count).unwrap());
        assert_eq!(file.get_row_iter(None).unwrap().count() as u64, count);
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for room in [0, 100, bytes.len() - 1] {
            let full = export_by(1000, &log, &Filter::default(), Full(room));
            assert!(matches!(full, Err(AuditError::Columns(_))), "{room}");
        }
    }
}
