//! Prints the tables' definitions, for `.ci/template` to hold template.yaml to them.

use serde_json::json;
use tillwatch_platform::table::schema;

#[expect(clippy::print_stdout, reason = "it prints")]
fn main() {
    let tables = json!({
        "Table": [schema::main_table("-"), schema::time_to_live("-")],
        "FiguresTable": [schema::figures_table("-"), schema::time_to_live("-")],
    });
    println!("{tables}");
}
