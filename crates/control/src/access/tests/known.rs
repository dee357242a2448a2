//! Tokens of the server's own.

use super::*;

fn tokens() -> Tokens {
    let shop = vec!["shop/*".parse().unwrap(), "bank/payments".parse().unwrap()];
    Tokens::new(vec![
        Token::new("pipeline", "pipeline-secret", May::Operate, shop),
        Token::new("admins", "admin-secret", May::Write, vec![Pattern::Every]),
    ])
}

#[tokio::test]
async fn a_token_allows_what_it_says_for_the_rollouts_that_it_names() {
    let caller = tokens().caller(Some("pipeline-secret"), 0).await.unwrap();
    let name = |text: &str| text.parse::<Name>().unwrap();
    assert_eq!(caller.name(), "pipeline");
    assert!(
        caller.may(May::Read, &name("shop/checkout")) && caller.may(May::Operate, &name("bank/payments"))
    );
    assert!(!caller.may(May::Write, &name("shop/checkout")));
    assert!(!caller.may(May::Read, &name("bank/accounts")) && !caller.may(May::Read, &name("shopper/x")));
    assert!(!caller.may_everywhere(May::Read));
    let admins = tokens().caller(Some("admin-secret"), 0).await.unwrap();
    assert!(admins.may_everywhere(May::Write));
}

#[tokio::test]
async fn a_token_allows_a_fleet_whose_rollouts_it_may_all_have() {
    let caller = tokens().caller(Some("pipeline-secret"), 0).await.unwrap();
    let may = |texts: &[&str]| {
        let patterns: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        caller.may_all(May::Read, &patterns)
    };
    assert!(may(&["shop/*"]) && may(&["shop/checkout", "bank/payments"]));
    assert!(!may(&["shop/*", "bank/*"]) && !may(&["*"]) && !may(&["bank/accounts"]));
}

#[tokio::test]
async fn who_has_no_token_is_nobody_unless_there_are_none() {
    assert_eq!(tokens().caller(None, 0).await, Err(Denial::Missing));
    let unknown = Err(Denial::Invalid("this token is not known here".to_owned()));
    for text in ["pipeline-secre", "", "a.b.c"] {
        assert_eq!(tokens().caller(Some(text), 0).await, unknown, "{text}");
    }
    let open = Tokens::new(Vec::new());
    let anybody = open.caller(None, 0).await.unwrap();
    assert!(anybody.may_everywhere(May::Write) && anybody.name() == "anonymous");
    open.set(vec![Token::new("a", "b", May::Read, Vec::new())], &[]).unwrap();
    assert_eq!(open.caller(None, 0).await, Err(Denial::Missing));
}

#[test]
fn patterns_are_all_a_namespace_or_one() {
    for text in ["*", "shop/*", "shop/checkout", "checkout"] {
        assert!(text.parse::<Pattern>().is_ok(), "{text}");
    }
    for text in ["", "*/*", "shop*", "*/checkout", "shop/c*", "SHOP/*", "/*"] {
        assert!(text.parse::<Pattern>().is_err(), "{text}");
    }
}
