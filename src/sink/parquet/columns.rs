//! Builds a batch column by column: one name, one type, one value for each row.

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use jiff::Timestamp;
use std::sync::Arc;

/// The columns so far; all have the same number of rows.
#[derive(Default)]
pub struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

/// Microseconds of an RFC 3339 text; what is finer stays in the JSON of the record.
pub fn micros(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|at| at.as_microsecond())
}

// === impl Columns ===

impl Columns {
    fn push(&mut self, name: &str, array: ArrayRef, nullable: bool) {
        self.fields.push(Field::new(name, array.data_type().clone(), nullable));
        self.arrays.push(array);
    }

    /// A text in each row.
    pub fn text<T: AsRef<str>>(&mut self, name: &str, rows: impl Iterator<Item = T>) {
        self.push(name, Arc::new(StringArray::from_iter_values(rows)), false);
    }

    /// A text in some rows.
    pub fn some_text<T: AsRef<str>>(&mut self, name: &str, rows: impl Iterator<Item = Option<T>>) {
        self.push(name, Arc::new(rows.collect::<StringArray>()), true);
    }

    /// A whole number in each row.
    pub fn integer(&mut self, name: &str, rows: impl Iterator<Item = i64>) {
        self.push(name, Arc::new(Int64Array::from_iter_values(rows)), false);
    }

    /// A whole number in some rows.
    pub fn some_integer(&mut self, name: &str, rows: impl Iterator<Item = Option<i64>>) {
        self.push(name, Arc::new(rows.collect::<Int64Array>()), true);
    }

    /// A number in each row.
    pub fn number(&mut self, name: &str, rows: impl Iterator<Item = f64>) {
        self.push(name, Arc::new(Float64Array::from_iter_values(rows)), false);
    }

    /// A number in some rows.
    pub fn some_number(&mut self, name: &str, rows: impl Iterator<Item = Option<f64>>) {
        self.push(name, Arc::new(rows.collect::<Float64Array>()), true);
    }

    /// Yes or no in each row.
    pub fn flag(&mut self, name: &str, rows: impl Iterator<Item = bool>) {
        self.push(name, Arc::new(rows.map(Some).collect::<BooleanArray>()), false);
    }

    /// Yes or no in some rows.
    pub fn some_flag(&mut self, name: &str, rows: impl Iterator<Item = Option<bool>>) {
        self.push(name, Arc::new(rows.collect::<BooleanArray>()), true);
    }

    /// A time in each row, microseconds since the Unix epoch.
    pub fn time(&mut self, name: &str, rows: impl Iterator<Item = i64>) {
        let array = TimestampMicrosecondArray::from_iter_values(rows).with_timezone("UTC");
        self.push(name, Arc::new(array), false);
    }

    /// A time in some rows, as RFC 3339.
    pub fn some_time<'a>(&mut self, name: &str, rows: impl Iterator<Item = Option<&'a str>>) {
        let rows = rows.map(|text| text.and_then(micros));
        let array = rows.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
        self.push(name, Arc::new(array), true);
    }

    /// Texts in some rows: no list where there is nothing to list them for.
    pub fn some_texts<'a>(&mut self, name: &str, rows: impl Iterator<Item = Option<&'a [String]>>) {
        let item = Field::new("item", DataType::Utf8, false);
        let mut list = ListBuilder::new(StringBuilder::new()).with_field(item);
        for row in rows {
            for text in row.unwrap_or_default() {
                list.values().append_value(text);
            }
            list.append(row.is_some());
        }
        self.push(name, Arc::new(list.finish()), true);
    }

    /// Pairs of texts in each row; `keys` names their two parts.
    pub fn pairs<'a>(
        &mut self,
        name: &str,
        keys: [&str; 2],
        rows: impl Iterator<Item = Vec<[&'a str; 2]>>,
    ) {
        let fields = Fields::from(keys.map(|key| Field::new(key, DataType::Utf8, false)).to_vec());
        let item = Field::new("item", DataType::Struct(fields.clone()), false);
        let parts = StructBuilder::new(
            fields,
            vec![Box::new(StringBuilder::new()), Box::new(StringBuilder::new())],
        );
        let mut list = ListBuilder::new(parts).with_field(item);
        for row in rows {
            for pair in row {
                for (at, text) in pair.into_iter().enumerate() {
                    let part = list.values().field_builder::<StringBuilder>(at);
                    part.expect("both parts are texts").append_value(text);
                }
                list.values().append(true);
            }
            list.append(true);
        }
        self.push(name, Arc::new(list.finish()), false);
    }

    /// All columns; an error when their lengths differ.
    pub fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(micros("1970-01-01T00:00:01.0000019Z"), Some(1_000_001));
        assert_eq!(micros("yesterday"), None);
    }

    #[test]
    fn columns_of_different_lengths_are_no_table() {
        let mut columns = Columns::default();
        columns.flag("a", [true, false].into_iter());
        columns.integer("b", [1].into_iter());
        assert!(columns.finish().is_err());
    }
}
