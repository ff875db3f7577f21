//! The table of what was seen.

/// Most findings named of one kind.
const NAMED: usize = 10;

/// One line of the table.
pub struct Line {
    what: String,
    seen: String,
    must: &'static str,
    /// What is wrong with it, if anything is.
    wrong: Option<String>,
}

impl Line {
    /// One that is as it may be.
    pub fn any(what: &str, seen: &impl ToString) -> Self {
        Self { what: what.to_owned(), seen: seen.to_string(), must: "", wrong: None }
    }

    /// One of which there must be some, or nothing was tried.
    pub fn some(what: &str, seen: &impl ToString, is_some: bool) -> Self {
        let wrong = (!is_some).then(|| "none was seen".to_owned());
        Self { must: "some", wrong, ..Self::any(what, seen) }
    }

    /// One of which there must be none.
    pub fn none(what: &str, findings: &[String]) -> Self {
        let wrong = (!findings.is_empty()).then(|| findings.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n"));
        Self { must: "0", wrong, ..Self::any(what, &findings.len()) }
    }

    /// True if it is as it must be.
    pub const fn holds(&self) -> bool {
        self.wrong.is_none()
    }
}

/// Prints the table, and what is wrong.
pub fn print(lines: &[Line]) {
    println!("\n{:<53} {:>24}  must be", "", "seen");
    for line in lines {
        let Line { what, seen, must, .. } = line;
        let mark = if line.holds() { "" } else { "  WRONG" };
        println!("{}", format!("{what:<53} {seen:>24}  {must}{mark}").trim_end());
    }
    for line in lines {
        if let Some(why) = &line.wrong {
            println!("\n{}:\n{why}", line.what);
        }
    }
}
