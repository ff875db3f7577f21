use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn value(text: &str, data: &str) -> Result<String, EvaluateError> {
    Expression::parse(text)
        .unwrap_or_else(|why| panic!("{text}: {why}"))
        .evaluate_json(&json(data))
        .map(|v| v.as_str().to_owned())
}

const DATA: &str = r#"{"order":{"total":120,"rate":0.5,"name":"Ada","tags":["a","b"],"a.b":7},
    "items":[{"price":3,"ok":true},{"price":10.5,"ok":false},{"price":4,"ok":true}],"empty":{},"nothing":null,"big":18446744073709551615}"#;

#[test]
fn values() {
    for (text, wanted) in [
        ("order.total > 100 && size(items) > 2", "true"),
        ("order.total * 2", "240"),
        ("order.total * order.rate", "60.0"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7 % 2 + 1", "2"),
        ("7.0 / 2", "3.5"),
        ("-order.total", "-120"),
        ("order.name + '!' == \"Ada!\"", "true"),
        ("order['name'].startsWith('A') && order.name.endsWith('a') && order.name.contains('d')", "true"),
        ("order['a.b'] + order.`a.b`", "14"),
        ("-9223372036854775808 < -0x10 // the least", "true"),
        ("r'\\d' + '\\u00e9\\n'", r#""\\dé\n""#),
        ("1 + 2 * 3 - 4 == 3 && 2 - 1 - 1 == 0 || false", "true"),
        ("true ? 1 : false ? 2 : 3", "1"),
        ("[1, 2,] + [1e2, .5]", "[1,2,100.0,0.5]"),
        ("order.name.matches('^[A-Z][a-z]+$')", "true"),
        ("items.filter(i, i.ok).map(i, i.price)", "[3,4]"),
        ("items.map(i, i.ok, i.price)", "[3,4]"),
        ("items.all(i, i.price > 2)", "true"),
        ("items.exists(i, i.price > 100)", "false"),
        ("items.exists_one(i, i.price == 3.0)", "true"),
        ("items.map(i, items.filter(j, j.price < i.price).size())", "[0,2,1]"),
        ("order.map(name, name)", r#"["a.b","name","rate","tags","total"]"#),
        ("[1, 0].exists(x, 10 / x == 10)", "true"),
        ("[0, 1].exists(x, 10 / x == 10)", "true"),
        ("[0, 1].all(x, 10 / x > 10)", "false"),
        ("'a' in order.tags && !('c' in order.tags) && 'name' in order", "true"),
        ("order.tags[1] + order.tags[0]", "\"ba\""),
        ("has(order.total) && !has(order.nothing) && !has(empty.x)", "true"),
        ("has(order.missing) ? order.missing : 'none'", "\"none\""),
        ("false && missing == 1", "false"),
        ("missing == 1 || true", "true"),
        ("nothing == null && 1 != 'a' && 1 == 1.0 && [1, {'a': 2}] == [1.0, {'a': 2}]", "true"),
        ("9007199254740993 > 9007199254740992.0", "true"),
        ("big > 9223372036854775807", "true"),
        ("{'b': [1], 'a': null}", r#"{"a":null,"b":[1]}"#),
        ("int('12') + int(2.9) + size('äö')", "16"),
        ("string(1) + string(1.5) + string(true)", "\"11.5true\""),
        ("double('1.5') < 2", "true"),
        ("bool('true')", "true"),
        ("0.0 / 0.0 == 0.0 / 0.0 || 0.0 / 0.0 < 1", "false"),
        ("[1, 2] + [3]", "[1,2,3]"),
        ("'b' > 'a' && true > false", "true"),
        ("[[1, 2], [3]].map(x, x.map(x, x + 1))", "[[2,3],[4]]"),
    ] {
        assert_eq!(value(text, DATA).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn what_has_no_value_says_why() {
    for (text, wanted) in [
        ("order.missing > 1", "there is no \"missing\""),
        ("missing", "there is no \"missing\""),
        ("items[3]", "there is no such item in a list of 3"),
        ("order.name.x", "a text has no member \"x\""),
        ("nothing.x == 1", "null has no member \"x\""),
        ("items.price", "a list has no member \"price\""),
        ("order.name > 1", "> does not work between a text and a whole number"),
        ("order.name + 1", "+ does not work between a text and a whole number"),
        ("9223372036854775807 + 1", "a whole number is out of range"),
        ("1 / 0", "1 cannot be divided by 0"),
        ("1.0 / 0.0", "the value is inf, which JSON has not"),
        ("order && true", "an object stands where true or false is needed"),
        ("size(1)", "size does not work with a whole number"),
        ("order.name.map(x, x)", "a text has no items"),
        ("{'a': 1, 'a': 2}", "the member \"a\" is there twice"),
    ] {
        assert_eq!(value(text, DATA).unwrap_err().to_string(), wanted, "{text}");
    }
    assert!(value("x", r#"{"x":1e999}"#).unwrap_err().to_string().contains("out of range"));
    let whole = Expression::parse("order.total").unwrap();
    assert_eq!(
        whole.evaluate_bool(&json(DATA)).unwrap_err().to_string(),
        "the value is a whole number, not true or false"
    );
}

#[test]
fn bad_expressions_are_refused_with_their_place() {
    for (text, wanted) in [
        ("order.total >", "ends where a value must stand"),
        ("", "ends where a value must stand"),
        ("(a", "ends where \")\" must stand"),
        ("a b", "column 3: an operator or the end must stand here, not b"),
        ("ä", "column 1: 'ä' means nothing here"),
        ("'é' == 'x", "column 8: the text does not end"),
        ("'\\q'", "column 1: after \\ stands no escape that is known"),
        ("9223372036854775808", "column 1: 9223372036854775808 is no number, or out of range"),
        ("5u > 1", "column 1: 5u is no number"),
        ("now() > 1", "uses \"now\", which is no function of expressions"),
        ("size(1, 2)", "uses \"size\""),
        ("has(a)", "has: needs one member"),
        ("a.map(1, 2)", "column 7: a name must stand here, not 1"),
        ("a.all(x)", "column 8: \",\" must stand here, not )"),
        ("a.all(x, 1, 2)", "all: needs the name of an item"),
        ("order.name.matches(order.pattern)", "matches: the pattern must be written as a text"),
        ("order.name.matches('(')", "matches: regex parse error"),
        ("order.name.matches('(a{1000}){1000}')", "matches: "),
        ("b'x' == 1", "column 2: an operator or the end"),
        ("T{a: 1}", "column 2: an operator"),
        ("a.?b", "column 3: a name must stand here, not ?"),
        (&"(".repeat(49), "is nested deeper than 48 levels"),
        (&"x".repeat(5_000), "is 5000 bytes, more than the 4096 of an expression"),
    ] {
        let why = Expression::parse(text).unwrap_err();
        assert!(why.starts_with(wanted), "{text}: {why}");
    }
}

#[test]
fn what_is_read_is_known_before_there_is_data() {
    for (text, wanted) in [
        ("order.total > 100 && size(items) > 2", vec!["items", "order.total"]),
        ("items.filter(i, i.ok).map(i, i.price * factor)", vec!["factor", "items"]),
        ("order.a.b > 1 || order.a == null", vec!["order.a"]),
        ("order['total'] + order[key] + lists[0].x", vec!["key", "lists", "order"]),
        ("order['a.b'].c", vec!["order"]),
        ("has(order.x) && order.x.y", vec!["order.x"]),
        ("x.map(x, x + .x)", vec!["x"]),
        ("name.contains(part)", vec!["name", "part"]),
        ("1 + 1", vec![]),
        ("{'a': q.r, p: 1}", vec!["p", "q.r"]),
        ("(c ? a : b).d", vec!["a", "b", "c"]),
    ] {
        let reads = Expression::parse(text).unwrap().reads();
        assert_eq!(reads.iter().map(DataPath::as_str).collect::<Vec<_>>(), wanted, "{text}");
    }
}

/// Each of these grows with a power of its text or its data; all end with an error, at once and within bounds.
#[test]
fn hostile_expressions_are_stopped() {
    let many = format!(r#"{{"a":[{}]}}"#, vec!["1"; 2_000].join(","));
    let doubled = "['xxxxxxxxxxxxxxxx']".to_owned() + &".map(x, x + x)".repeat(40);
    let nested = "[[1]]".to_owned() + &".map(x, [x, x])".repeat(40);
    for text in [
        "a.map(x, a.map(y, x * y))",
        "a.map(x, a.map(y, a.map(z, x * y * z)))",
        "a.map(x, a).map(x, x + x).map(x, x + x) == 1 || a.map(x, a) == a.map(x, a)",
        &doubled,
        &nested,
    ] {
        assert_eq!(value(text, &many), Err(EvaluateError::Steps), "{text}");
    }
    assert_eq!(value("size(a.map(x, x + 1).filter(x, x > 0))", &many).as_deref(), Ok("2000"));
    let large = format!(r#"{{"a":"{}","b":1}}"#, "x".repeat(MAX_EXPRESSION_INPUT));
    assert!(matches!(value("size(a)", &large), Err(EvaluateError::Input(_))));
    assert_eq!(value("b", &large).as_deref(), Ok("1"));
}

/// What is accepted, and what is refused for its depth, fits the stack of a thread that has little.
#[test]
fn deep_expressions_fit_a_small_stack() {
    let texts = ["(", "[", "{'a':", "size(", "!", "-", "x.map(x,", "a?", "a?b:", "!(-a?b:c", "a.b("]
        .iter()
        .flat_map(|open| [45, 600].map(|n| open.repeat(n) + "1"))
        .chain(
            [".b", "+1", "[0]", "&&a", "==a", ".map(x,x)", ".f(1)", " in a"]
                .iter()
                .flat_map(|more| [45, 400].map(|n| "a".to_owned() + &more.repeat(n))),
        )
        .flat_map(|text| {
            [text.clone() + &")".repeat(45), text.clone() + &"]".repeat(45), text.clone() + &"}".repeat(45), text]
        });
    let texts: Vec<String> = texts.collect();
    let run = move || {
        for text in &texts {
            if let Ok(parsed) = Expression::parse(text) {
                let _ = (parsed.reads(), parsed.evaluate_json(&json(r#"{"a":1,"x":[[[]]]}"#)));
            }
        }
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn expressions_are_texts_in_files() {
    let expression = Expression::parse("a > 1").unwrap();
    assert_eq!(serde_json::to_string(&expression).unwrap(), "\"a > 1\"");
    assert_eq!(serde_json::from_str::<Expression>("\"a > 1\"").unwrap(), expression);
    assert!(serde_json::from_str::<Expression>("\"a >\"").is_err());
    assert!(expression.evaluate_bool(&json(r#"{"a":2}"#)).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text and the data are, there is a value or an error, the same one each time.
    #[test]
    fn never_panics(text in texts(), data in datas()) {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.reads();
            let data = json(&data);
            prop_assert_eq!(expression.evaluate_json(&data), expression.evaluate_json(&data));
        }
    }

    /// What an expression does not name it does not read.
    #[test]
    fn reads_are_all_that_is_read(text in texts(), data in datas()) {
        if let Ok(expression) = Expression::parse(&text) {
            let data = json(&data);
            let mut picked = crate::value::DataTree::new(Json::empty_object());
            let whole = crate::value::DataTree::new(data.clone());
            for path in expression.reads() {
                if let Some(value) = whole.get(&path) {
                    picked.set(&path, value);
                }
            }
            let found = expression.evaluate_json(&picked.to_json());
            // Without the object around a missing member, another thing is missing first.
            if expression.evaluate_json(&data).is_ok() && !text.contains("has") {
                prop_assert_eq!(found, expression.evaluate_json(&data));
            }
        }
    }

    #[test]
    fn numbers_are_ordered_by_their_values(a in any::<i64>(), b in any::<f64>()) {
        let data = json(&format!(r#"{{"a":{a},"b":{}}}"#, serde_json::to_string(&b).unwrap()));
        if b.is_finite() {
            let less = Expression::parse("a < b").unwrap().evaluate_bool(&data).unwrap();
            let exact = if b >= 9.3e18 { true } else if b <= -9.3e18 { false } else { i128::from(a) < b.ceil() as i128 };
            prop_assert_eq!(less, exact);
        }
    }
}

/// Texts that are expressions, almost expressions, and no expressions at all.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        "a.b",
        "1",
        "2.5",
        "'x'",
        "true",
        "null",
        "[]",
        "{}",
        "x",
        "a[0]",
        "-1",
        "9223372036854775807",
        "'",
        "\\",
        "é",
    ])
    .prop_map(str::to_owned);
    let built = leaf.prop_recursive(5, 40, 3, |inner| {
        let forms = prop::sample::select(vec![
            "_ + _",
            "_ - _",
            "_ * _",
            "_ / _",
            "_ % _",
            "_ == _",
            "_ < _",
            "_ && _",
            "_ || _",
            "!_",
            "-_",
            "_ ? _ : _",
            "(_)",
            "[_, _]",
            "{'k': _}",
            "_.b",
            "_[_]",
            "size(_)",
            "_ in _",
            "has(_.b)",
            "_.map(x, _)",
            "_.filter(x, _)",
            "_.all(x, _)",
            "_.exists(x, _)",
            "_.exists_one(x, _)",
            "string(_)",
            "int(_)",
            "_.contains(_)",
            "_.matches('a+')",
            "_ _",
        ]);
        (forms, prop::collection::vec(inner, 3)).prop_map(|(form, parts)| {
            let mut parts = parts.into_iter();
            form.split('_').enumerate().fold(String::new(), |text, (i, piece)| {
                let part = if i == 0 { String::new() } else { parts.next().unwrap_or_default() };
                text + &part + piece
            })
        })
    });
    prop_oneof![8 => built, 1 => any::<String>(), 1 => "[-a-z0-9.()\\[\\]{}+*/%<>=!&|?:'\" ]{0,60}"]
}

fn datas() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#"{}"#,
        r#"{"a":1,"b":[1,2,3],"x":"y"}"#,
        r#"{"a":{"b":{"b":1}},"b":{"k":null}}"#,
        r#"{"a":[[1],{"b":2.5}],"b":"text","x":[true,false]}"#,
        "[1,2]",
        "7",
    ])
    .prop_map(str::to_owned)
}
