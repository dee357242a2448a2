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
    assert_eq!(caller.name(), "pipeline");
    assert!(
        may(&caller, May::Read, "shop/checkout").await && may(&caller, May::Operate, "bank/payments").await
    );
    assert!(!may(&caller, May::Write, "shop/checkout").await);
    assert!(!may(&caller, May::Read, "bank/accounts").await && !may(&caller, May::Read, "shopper/x").await);
    assert!(!may(&caller, May::Read, "*").await);
    let admins = tokens().caller(Some("admin-secret"), 0).await.unwrap();
    assert!(may(&admins, May::Write, "*").await);
}

#[tokio::test]
async fn a_token_allows_a_fleet_whose_rollouts_it_may_all_have() {
    let caller = tokens().caller(Some("pipeline-secret"), 0).await.unwrap();
    for (texts, is_allowed) in [
        (&["shop/*"][..], true),
        (&["shop/checkout", "bank/payments"], true),
        (&["shop/*", "bank/*"], false),
        (&["*"], false),
        (&["bank/accounts"], false),
    ] {
        let patterns: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(caller.may(May::Read, &patterns).await, Ok(is_allowed), "{texts:?}");
    }
}

#[tokio::test]
async fn who_has_no_token_is_nobody_unless_there_are_none() {
    assert_eq!(tokens().caller(None, 0).await.unwrap_err(), Denial::Missing);
    let unknown = Denial::Invalid("this token is not known here".to_owned());
    for text in ["pipeline-secre", "", "a.b.c"] {
        assert_eq!(tokens().caller(Some(text), 0).await.unwrap_err(), unknown, "{text}");
    }
    let open = Tokens::new(Vec::new());
    let anybody = open.caller(None, 0).await.unwrap();
    assert!(may(&anybody, May::Write, "*").await && anybody.name() == "anonymous");
    open.set(vec![Token::new("a", "b", May::Read, Vec::new())], &[]).unwrap();
    assert_eq!(open.caller(None, 0).await.unwrap_err(), Denial::Missing);
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
