//! What an error of PostgreSQL means to the caller of a store.

use sqlx::Error;
use tutti_core::ports::store::StoreError;

/// Says whether repeating helps. What lies in the request is permanent, what lies in the database's files or rows is
/// corrupt, and all that lies in the surroundings (a lost connection, a server that stops or only reads, a full disk, a
/// deadlock, a right or a table that an operator took away) is unavailable: a run must not be given up because of it.
pub fn classify(error: &Error) -> StoreError {
    match error {
        Error::Database(database) => {
            let text = match database.code() {
                Some(code) => format!("{} (SQLSTATE {code})", database.message()),
                None => database.message().to_owned(),
            };
            by_code(database.code().as_deref().unwrap_or_default())(text)
        }
        // A stored value has another type or range than what was put there.
        Error::ColumnDecode { .. } | Error::Decode(_) => StoreError::Corrupt(error.to_string()),
        Error::Configuration(_)
        | Error::InvalidArgument(_)
        | Error::Encode(_)
        | Error::RowNotFound
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::TypeNotFound { .. } => StoreError::Permanent(error.to_string()),
        // The connection: refused, lost, cut in the middle of a message, or closed.
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The class of a SQLSTATE (PostgreSQL, appendix A).
fn by_code(code: &str) -> fn(String) -> StoreError {
    match code {
        // Damaged data or index; a block that does not have its checksum.
        "XX001" | "XX002" => StoreError::Corrupt,
        // A right or a table that an operator took away, and can give back.
        "42501" | "42P01" => StoreError::Unavailable,
        _ => match code.get(..2).unwrap_or_default() {
            // In this order: the connection; a transaction in the wrong state, such as on a server that only reads; who
            // may connect; the database; serialization and deadlocks; resources; a lock that was not got; the operator
            // and time-outs; the system; configuration; the server itself.
            "08" | "25" | "28" | "3D" | "40" | "53" | "55" | "57" | "58" | "F0" | "XX" => StoreError::Unavailable,
            _ => StoreError::Permanent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str) -> &'static str {
        match by_code(code)(String::new()) {
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Permanent(_) => "permanent",
            StoreError::Corrupt(_) => "corrupt",
            StoreError::BadCursor | StoreError::InUse(_) => "other",
        }
    }

    #[test]
    fn the_surroundings_are_worth_waiting_for() {
        for code in [
            "08000", "08003", "08006", "08P01", "25006", "28000", "28P01", "3D000", "40001", "40003", "40P01", "42501",
            "42P01", "53100", "53200", "53300", "53400", "55P03", "55006", "57014", "57P01", "57P02", "57P03", "58030",
            "XX000",
        ] {
            assert_eq!(class(code), "unavailable", "{code}");
        }
        let lost = Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(classify(&lost), StoreError::Unavailable(_)));
        assert!(matches!(classify(&Error::Protocol("cut".into())), StoreError::Unavailable(_)));
    }

    #[test]
    fn damaged_data_is_corrupt() {
        assert_eq!([class("XX001"), class("XX002")], ["corrupt"; 2]);
        assert!(matches!(classify(&Error::Decode("not a number".into())), StoreError::Corrupt(_)));
    }

    #[test]
    fn a_request_that_cannot_be_kept_is_permanent() {
        for code in ["22003", "22021", "23502", "23505", "23514", "42601", "54000", "P0001", "", "?"] {
            assert_eq!(class(code), "permanent", "{code}");
        }
        assert!(matches!(classify(&Error::RowNotFound), StoreError::Permanent(_)));
    }
}
