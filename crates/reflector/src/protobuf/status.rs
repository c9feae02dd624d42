use super::Fields;
use crate::refusal::Refusal;
use crate::wire::Malformed;

/// `Status`: why a request or a watch is refused.
pub fn status(message: &[u8]) -> Result<Refusal, Malformed> {
    let mut refusal = Refusal::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            3 => refusal.set_message(field.bytes()),
            4 => refusal.set_reason(field.bytes()),
            5 => {
                for detail in Fields::of(field.bytes()) {
                    let detail = detail?;
                    match detail.number {
                        // `StatusCause`
                        4 => {
                            for cause in Fields::of(detail.bytes()) {
                                let cause = cause?;
                                if cause.number == 1 {
                                    refusal.set_cause(cause.bytes());
                                }
                            }
                        }
                        5 => refusal.retry_after_s = detail.number(),
                        _ => {}
                    }
                }
            }
            6 => refusal.code = u16::try_from(field.number()).unwrap_or(0),
            _ => {}
        }
    }
    Ok(refusal)
}
