//! Functions that are known to have no effect, over the three engines. An unknown one may write.

/// Built-in functions, roughly by name; a scan is fast enough, since a statement is classified once and then cached.
const PURE: &[&str] = &[
    "abs", "acos", "adddate", "addtime", "age", "any_value", "array_agg", "array_length",
    "array_to_string", "ascii", "asin", "atan", "atan2", "avg", "bin", "bit_and", "bit_length",
    "bit_or", "btrim", "cardinality", "cast", "ceil", "ceiling", "changes", "char", "char_length",
    "character_length", "chr", "coalesce", "concat", "concat_ws", "conv", "convert", "convert_tz",
    "corr", "cos", "cot", "count", "crc32", "cume_dist", "curdate", "current_date",
    "current_database", "current_schema", "current_time", "current_timestamp", "current_user",
    "curtime", "database", "date", "date_add", "date_format", "date_part", "date_sub",
    "date_trunc", "datediff", "datetime", "day", "dayname", "dayofmonth", "dayofweek",
    "dayofyear", "decode", "degrees", "dense_rank", "div", "elt", "encode", "every", "exp",
    "extract", "field", "find_in_set", "first_value", "floor", "format", "from_base64",
    "from_days", "from_unixtime", "generate_series", "gen_random_uuid", "glob", "greatest",
    "group_concat", "hex", "hour", "if", "ifnull", "iif", "initcap", "instr", "isnull",
    "json_agg", "json_array", "json_array_length", "json_arrayagg", "json_build_array",
    "json_build_object", "json_contains", "json_each", "json_extract", "json_extract_path",
    "json_extract_path_text", "json_group_array", "json_group_object", "json_length",
    "json_object", "json_object_agg", "json_objectagg", "json_quote", "json_set", "json_tree",
    "json_type", "json_unquote", "json_valid", "json_value", "jsonb_agg", "jsonb_array_elements",
    "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_each",
    "jsonb_extract_path", "jsonb_extract_path_text", "jsonb_object_keys", "jsonb_path_query",
    "jsonb_set", "jsonb_typeof", "julianday", "lag", "last_day", "last_insert_rowid",
    "last_value", "lcase", "lead", "least", "left", "length", "like", "likelihood", "likely",
    "ln", "localtime", "localtimestamp", "locate", "log", "log10", "log2", "lower", "lpad",
    "ltrim", "make_date", "make_interval", "make_timestamp", "max", "md5", "mid", "min",
    "minute", "mod", "month", "monthname", "now", "nth_value", "ntile", "nullif", "nvl",
    "octet_length", "oct", "ord", "overlay", "percent_rank", "percentile_cont",
    "percentile_disc", "pi", "position", "pow", "power", "printf", "quarter", "quote",
    "quote_ident", "quote_literal", "radians", "rand", "random", "randomblob", "rank",
    "regexp_match", "regexp_matches", "regexp_replace", "regexp_substr", "repeat", "replace",
    "reverse", "right", "round", "row_number", "rpad", "rtrim", "schema", "sec_to_time", "second",
    "sha1", "sha2", "sha256", "sign", "sin", "soundex", "split_part", "sqlite_version", "sqrt",
    "std", "stddev", "stddev_pop", "stddev_samp", "str_to_date", "strftime", "string_agg",
    "string_to_array", "strpos", "subdate", "substr", "substring", "substring_index", "subtime",
    "sum", "sysdate", "tan", "time", "time_format", "time_to_sec", "timediff", "timestamp",
    "timestampadd", "timestampdiff", "to_base64", "to_char", "to_date", "to_days", "to_json",
    "to_jsonb", "to_number", "to_timestamp", "total", "total_changes", "translate", "trim",
    "trunc", "truncate", "typeof", "ucase", "unhex", "unicode", "unixepoch", "unix_timestamp",
    "unlikely", "unnest", "upper", "utc_date", "utc_time", "utc_timestamp", "uuid", "var_pop",
    "var_samp", "variance", "version", "week", "weekday", "weekofyear", "width_bucket", "year",
    "zeroblob",
];

/// Whether a function, named without a schema, is known to have no effect.
pub(crate) fn is_pure(name: &str) -> bool {
    PURE.iter().any(|pure| pure.eq_ignore_ascii_case(name))
}
