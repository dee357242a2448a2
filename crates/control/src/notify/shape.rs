//! What is posted. Texts of people, as the message of a release, are in it: nothing in them may become a mention or a link.

use std::time::{Duration, UNIX_EPOCH};

use coalmine_steer::text::percent;
use coalmine_steer::{About, Notice};
use serde_json::{Value, json};

use crate::rollout::Name;

/// The most characters of a message in a chat: Slack refuses a text of more than 3000, and an escaped one is five times as long.
const MAX_MESSAGE: usize = 600;

/// What a notifier reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// JSON with every field, for programs.
    #[default]
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Microsoft Teams' Workflows, with an Adaptive Card.
    Teams,
}

// === impl Shape ===

impl Shape {
    /// What is posted for a notice.
    pub(super) fn body(self, name: &Name, notice: &Notice) -> Value {
        match self {
            Self::Webhook => webhook(name, notice),
            Self::Slack => slack(notice),
            Self::Teams => teams(notice),
        }
    }
}

/// What tells a notice from all others, also from those of a rollout of the same name that was deleted.
pub(super) fn id(name: &Name, notice: &Notice) -> String {
    format!("{}-{}-{}", name.as_str(), notice.at, notice.id)
}

fn webhook(name: &Name, notice: &Notice) -> Value {
    json!({
        "id": id(name, notice),
        "rollout": name.as_str(),
        "about": notice.about.to_string(),
        "release": notice.release,
        "weight": f64::from(notice.weight) / 10_000.0,
        "at": humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(notice.at)).to_string(),
        "message": notice.message,
        // What chat programs beside Slack and Teams show.
        "text": notice.message,
    })
}

fn slack(notice: &Notice) -> Value {
    let message: String = shortened(&notice.message);
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // Verbatim: no address in it becomes a link, and no name a mention.
    let line = |text: String| json!({"type": "mrkdwn", "text": text, "verbatim": true});
    json!({
        "text": message,
        "blocks": [
            {"type": "section", "text": line(format!("{} {message}", icon(notice.about)))},
            {"type": "context", "elements": [line(place(notice))]},
        ],
    })
}

/// A text run is shown as it is, where a text block would take Markdown: a message could hold a link that shows another text.
fn teams(notice: &Notice) -> Value {
    let run = |text: String, more: Value| {
        let mut run = json!({"type": "TextRun", "text": text});
        if let (Some(run), Value::Object(more)) = (run.as_object_mut(), more) {
            run.extend(more);
        }
        json!({"type": "RichTextBlock", "inlines": [run]})
    };
    let colour = match notice.about {
        About::RollsBack | About::RolledBack => "attention",
        About::Held | About::Approval | About::Attention => "warning",
        About::Promotes | About::Promoted => "good",
        About::Started | About::Superseded => "default",
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    run(shortened(&notice.message), json!({"weight": "bolder", "color": colour})),
                    run(place(notice), json!({"isSubtle": true, "size": "small"})),
                ],
            },
        }],
    })
}

fn place(notice: &Notice) -> String {
    match notice.release {
        0 => format!("canary: {} %", percent(notice.weight)),
        release => format!("release {release}, canary: {} %", percent(notice.weight)),
    }
}

fn icon(about: About) -> &'static str {
    match about {
        About::Started => ":arrow_forward:",
        About::Held => ":hourglass:",
        About::Approval => ":raised_hand:",
        About::RollsBack | About::RolledBack => ":rewind:",
        About::Promotes | About::Promoted => ":white_check_mark:",
        About::Superseded => ":heavy_minus_sign:",
        About::Attention => ":warning:",
    }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}...", message.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(message: &str) -> Notice {
        Notice {
            id: 4,
            about: About::RollsBack,
            at: 1_795_699_808,
            release: 3,
            weight: 50_000,
            to: vec!["oncall".to_owned()],
            message: message.to_owned(),
        }
    }

    fn body(shape: Shape, message: &str) -> Value {
        shape.body(&"shop/checkout".parse().unwrap(), &notice(message))
    }

    #[test]
    fn a_program_gets_every_field() {
        let expected = json!({
            "id": "shop/checkout-1795699808-4",
            "rollout": "shop/checkout",
            "about": "rollsBack",
            "release": 3,
            "weight": 5.0,
            "at": "2026-11-26T13:30:08Z",
            "message": "shop/checkout: rolls back",
            "text": "shop/checkout: rolls back",
        });
        assert_eq!(body(Shape::Webhook, "shop/checkout: rolls back"), expected);
    }

    #[test]
    fn a_message_calls_nobody_in_slack_and_is_no_link() {
        let body = body(Shape::Slack, "<!channel> & <https://evil.example|our page>");
        let escaped = "&lt;!channel&gt; &amp; &lt;https://evil.example|our page&gt;";
        assert_eq!(body["text"], escaped);
        assert_eq!(body["blocks"][0]["text"]["text"], format!(":rewind: {escaped}"));
        assert_eq!(body["blocks"][0]["text"]["verbatim"], true);
        assert_eq!(body["blocks"][1]["elements"][0]["text"], "release 3, canary: 5 %");
    }

    #[test]
    fn a_message_in_teams_is_shown_as_it_is() {
        let message = "**bold** [our page](https://evil.example)";
        let body = body(Shape::Teams, message);
        let card = &body["attachments"][0]["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        assert_eq!(card["body"][0]["type"], "RichTextBlock");
        assert_eq!(card["body"][0]["inlines"][0]["text"], message);
        assert_eq!(card["body"][0]["inlines"][0]["color"], "attention");
        assert!(
            !body.to_string().contains("TextBlock\",\"text"),
            "no text block, which takes Markdown: {body}"
        );
    }

    #[test]
    fn a_long_message_is_shortened_to_what_a_chat_takes() {
        let body = body(Shape::Slack, &"<".repeat(5_000));
        assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().len() < 3_000);
        assert_eq!(self::body(Shape::Webhook, &"ä".repeat(5_000))["message"], "ä".repeat(5_000));
    }
}
