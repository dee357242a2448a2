//! Tokens that are almost good: mutations of signed ones, the same for the same seed.

/// Makes tokens that no secret has signed, out of tokens that one has.
pub(crate) struct Mutator {
    state: u64,
    signed: Vec<String>,
}

impl Mutator {
    /// Mutations of these tokens, of which there is at least one.
    pub(crate) fn new(seed: u64, signed: Vec<String>) -> Self {
        Self { state: seed, signed }
    }

    /// The next one: one to three mutations, and none of the tokens that it began with.
    pub(crate) fn next_token(&mut self) -> Vec<u8> {
        loop {
            let mut token = self.some_signed().into_bytes();
            for _ in 0..=self.below(3) {
                self.mutate(&mut token);
            }
            if self.signed.iter().all(|signed| signed.as_bytes() != token) {
                return token;
            }
        }
    }

    fn mutate(&mut self, token: &mut Vec<u8>) {
        let at = self.below(token.len().max(1));
        let here = at < token.len();
        match self.below(18) {
            0 if here => token[at] ^= 1 << self.below(8),
            1 | 2 if here => token[at] = self.letter(),
            3 => token.insert(at.min(token.len()), self.letter()),
            4 if here => drop(token.remove(at)),
            5 => token.truncate(at),
            6 => token.extend_from_slice(self.some_signed().as_bytes()),
            7 if here => token[at] = token[at].to_ascii_uppercase(),
            8 if here => token[at] = self.below(256) as u8,
            // The last letter of a MAC has two bits to spare: other spellings of the same bytes.
            9 => self.last_letter(token),
            10 => token.push(b'='),
            11 => self.with_part(token, 3, |it| it.below(3_000_000_000).to_string()),
            12 => self.with_part(token, 3, |it| format!("0{}", it.below(3_000_000_000))),
            13 => {
                self.with_part(token, 1, |it| ["checkout", "other", "", "check-out"][it.below(4)].to_owned())
            }
            14 => self
                .with_part(token, 2, |it| ["canary", "stable", "blue", "baseline"][it.below(4)].to_owned()),
            15 => self.with_part(token, 4, |it| (0..43).map(|_| char::from(it.letter())).collect()),
            16 => self.with_part(token, 4, |it| {
                it.some_signed().rsplit('.').next().map(str::to_owned).unwrap_or_default()
            }),
            _ => {
                let part = self.below(5);
                self.with_part(token, part, |it| {
                    it.some_signed().split('.').nth(part).map(str::to_owned).unwrap_or_default()
                });
            }
        }
    }

    fn last_letter(&mut self, token: &mut [u8]) {
        let letter = self.letter();
        if let Some(last) = token.last_mut() {
            *last = letter;
        }
    }

    /// Puts another text in the place of one of the parts between the dots.
    fn with_part(&mut self, token: &mut Vec<u8>, part: usize, make: impl FnOnce(&mut Self) -> String) {
        let made = make(self).into_bytes();
        let mut parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
        if let Some(old) = parts.get_mut(part) {
            *old = &made;
        }
        *token = parts.join(&b'.');
    }

    fn some_signed(&mut self) -> String {
        let at = self.below(self.signed.len());
        self.signed[at].clone()
    }

    /// A letter of a token.
    fn letter(&mut self) -> u8 {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
        LETTERS[self.below(LETTERS.len())]
    }

    /// A number below this one, by SplitMix64.
    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
